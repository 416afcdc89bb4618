//! A server for one page and one visitor, on the loopback address.

use super::Failure;
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    time::Duration,
};

/// A folder of static files, and an ear for what the page posts to `/result`.
pub(crate) struct Server {
    listener: TcpListener,
    folder: PathBuf,
}

impl Server {
    pub(crate) fn new(folder: PathBuf) -> Result<Self, Failure> {
        Ok(Self { listener: TcpListener::bind("127.0.0.1:0")?, folder })
    }

    /// Where the page is.
    pub(crate) fn address(&self) -> String {
        self.listener.local_addr().map_or_else(|e| e.to_string(), |at| format!("http://{at}/"))
    }

    /// Makes [`Server::answer`] return at once when nobody asks.
    pub(crate) fn hurry(&self) -> Result<(), Failure> {
        Ok(self.listener.set_nonblocking(true)?)
    }

    /// Answers one request, and returns what was posted. A visitor who hangs up is none of our business.
    pub(crate) fn answer(&self) -> Result<Option<String>, Failure> {
        match self.listener.accept() {
            Ok((stream, _)) => Ok(self.serve(stream).unwrap_or_default()),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn serve(&self, mut stream: TcpStream) -> std::io::Result<Option<String>> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first)?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim().to_lowercase().split_once(':') {
                Some(("content-length", n)) => length = n.trim().parse().unwrap_or(0),
                Some(_) => {}
                None => break,
            }
        }
        let mut words = first.split_whitespace();
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or("/"));
        let path = path.split('?').next().unwrap_or("/");
        if method == "POST" && path == "/result" {
            let mut body = vec![0; usize::min(length, 1 << 20)];
            reader.read_exact(&mut body)?;
            send(&mut stream, "200 OK", "text/plain", b"")?;
            return Ok(Some(String::from_utf8_lossy(&body).into_owned()));
        }
        let name = if path == "/" { "index.html" } else { path.trim_start_matches('/') };
        let kind = match name.rsplit_once('.') {
            Some((_, "html")) => "text/html",
            Some((_, "js")) => "text/javascript",
            Some((_, "wasm")) => "application/wasm",
            _ => "application/octet-stream",
        };
        let file = (!name.contains(['/', '\\'])).then(|| fs::read(self.folder.join(name)).ok()).flatten();
        match file {
            Some(bytes) => send(&mut stream, "200 OK", kind, &bytes)?,
            None => send(&mut stream, "404 Not Found", "text/plain", b"")?,
        }
        Ok(None)
    }
}

fn send(stream: &mut TcpStream, status: &str, kind: &str, bytes: &[u8]) -> std::io::Result<()> {
    let length = bytes.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(bytes)?;
    stream.flush()
}
