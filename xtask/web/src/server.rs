//! A server for one page and one visitor, on the loopback address.

use super::Failure;
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

/// How long [`Server::answer`] waits for what is posted.
const PAUSE: Duration = Duration::from_millis(5);

/// A folder of static files, and an ear for what the page posts to `/result`. Each connection has a thread: browsers
/// open some before they know what to ask for.
pub(crate) struct Server {
    listener: TcpListener,
    folder: PathBuf,
    posts: (mpsc::Sender<String>, mpsc::Receiver<String>),
}

impl Server {
    pub(crate) fn new(folder: PathBuf) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, folder, posts: mpsc::channel() })
    }

    /// Where the page is.
    pub(crate) fn address(&self) -> String {
        self.listener.local_addr().map_or_else(|e| e.to_string(), |at| format!("http://{at}/"))
    }

    /// Begins to answer all who ask, and returns what was posted, or nothing after a moment. A visitor who hangs up is
    /// none of our business.
    pub(crate) fn answer(&self) -> Result<Option<String>, Failure> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    let (folder, post) = (self.folder.clone(), self.posts.0.clone());
                    thread::spawn(move || {
                        if let Ok(Some(posted)) = serve(&folder, stream) {
                            let _ = post.send(posted);
                        }
                    });
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(self.posts.1.recv_timeout(PAUSE).ok())
    }
}

fn serve(folder: &Path, mut stream: TcpStream) -> std::io::Result<Option<String>> {
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
    let file = (!name.contains(['/', '\\'])).then(|| fs::read(folder.join(name)).ok()).flatten();
    match file {
        Some(bytes) => send(&mut stream, "200 OK", kind, &bytes)?,
        None => send(&mut stream, "404 Not Found", "text/plain", b"")?,
    }
    Ok(None)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_connection_that_asks_nothing_stalls_nobody() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("index.html"), "the page").unwrap();
        let server = Server::new(folder.path().into()).unwrap();
        let at = server.listener.local_addr().unwrap();
        let _idle = TcpStream::connect(at).unwrap();
        let asked = thread::spawn(move || {
            let [page, post] =
                ["GET / HTTP/1.1\r\n\r\n", "POST /result HTTP/1.1\r\nContent-Length: 4\r\n\r\ndone"].map(
                    |request| {
                        let (mut stream, mut told) = (TcpStream::connect(at).unwrap(), String::new());
                        stream.write_all(request.as_bytes()).unwrap();
                        stream.read_to_string(&mut told).unwrap();
                        told
                    },
                );
            (page, post)
        });
        let begun = Instant::now();
        let posted = loop {
            assert!(begun.elapsed() < Duration::from_secs(8), "the idle connection stalls the others");
            if let Some(posted) = server.answer().unwrap() {
                break posted;
            }
        };
        let (page, post) = asked.join().unwrap();
        assert!(page.ends_with("the page") && post.starts_with("HTTP/1.1 200") && posted == "done");
    }
}
