//! The ways in which a mirror can fail, each from a server on loopback that fails in this way.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Instant;

use super::*;
use crate::disk::scratch::Folder;

/// The contents of the file under test: more than one piece, and no two pieces alike.
fn right() -> Vec<u8> {
    (0..200_000_u32).map(|at| (at.wrapping_mul(at) / 7) as u8).collect()
}

fn digest(bytes: &[u8]) -> String {
    hex(Sha256::new_with_prefix(bytes))
}

/// What the server does with one connection.
#[derive(Clone)]
enum Reply {
    /// A whole body under a header that announces `length` bytes, or none.
    Body {
        body: Vec<u8>,
        length: Option<usize>,
    },
    Status(u16),
    /// A redirect to this address, whose body breaks off in its last chunk.
    Redirect(String),
    /// The header and nothing more, until the client gives up.
    Stall,
}

impl Reply {
    fn whole(body: Vec<u8>) -> Self {
        Self::Body { length: Some(body.len()), body }
    }

    /// The first bytes of the right file under the header of the whole.
    fn cut(at: usize) -> Self {
        Self::Body { body: right()[..at].to_vec(), length: Some(right().len()) }
    }

    fn send(self, mut stream: TcpStream) -> io::Result<()> {
        let request = BufReader::new(stream.try_clone()?);
        // Left unread, the request would make the system reset the connection at the end.
        request.lines().take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty())).for_each(drop);
        match self {
            Self::Body { body, length } => {
                let length = length.map_or(String::new(), |n| format!("Content-Length: {n}\r\n"));
                write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n{length}\r\n")?;
                stream.write_all(&body)
            }
            Self::Status(status) => {
                write!(stream, "HTTP/1.1 {status} No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            }
            Self::Redirect(to) => {
                let chunked = "Transfer-Encoding: chunked\r\n\r\n0\r\n";
                write!(stream, "HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: {to}\r\n{chunked}")
            }
            Self::Stall => {
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", right().len())?;
                stream.read_to_end(&mut Vec::new()).map(drop)
            }
        }
    }
}

/// A mirror that gives its replies one after the other, and the last of them for ever.
struct Mirror {
    address: SocketAddr,
    asked: Arc<AtomicU32>,
}

impl Mirror {
    fn new(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mirror = Self { address: listener.local_addr().unwrap(), asked: Arc::default() };
        let asked = mirror.asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let at = asked.fetch_add(1, Ordering::SeqCst) as usize;
                let reply = replies[at.min(replies.len() - 1)].clone();
                // A client that hangs up early is no fault of this server.
                thread::spawn(move || reply.send(stream.unwrap()));
            }
        });
        mirror
    }

    fn url(&self) -> String {
        format!("http://{}/set/", self.address)
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }
}

/// The address of a port that nobody listens on.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/", listener.local_addr().unwrap())
}

/// A cache folder that is removed when dropped.
struct Cache(PathBuf, #[expect(dead_code, reason = "dropping it removes it")] Option<Folder>);

impl Cache {
    fn new() -> Self {
        let folder = Folder::new("download");
        Self(folder.join("set"), Some(folder))
    }

    fn holding(bytes: &[u8]) -> Self {
        let cache = Self::new();
        fs::create_dir_all(&cache.0).unwrap();
        fs::write(cache.0.join(TRAIN_IMAGES), bytes).unwrap();
        cache
    }

    /// Fetches the one file of a data set; the time-outs are short and no proxy stands between.
    fn fetch(&self, mirrors: &[&str]) -> Result<Vec<(u64, u64)>, DataError> {
        let config = Agent::config_builder().proxy(None).timeout_connect(Some(Duration::from_secs(5)));
        let config = config
            .timeout_recv_response(Some(Duration::from_secs(5)))
            .timeout_per_read(Some(Duration::from_millis(300)));
        let client = Client { agent: config.build().into(), rounds: 3, pause: Duration::from_millis(20) };
        let sha256 = digest(&right());
        let files = [file(TRAIN_IMAGES, right().len() as u64, &sha256)];
        let mut heard = vec![];
        let set = Published { name: "set", mirrors, files: &files };
        fetch_into(&self.0, &set, &client, &mut |p| heard.push((p.done, p.total)))?;
        Ok(heard)
    }

    /// Fetches and checks that the folder then holds the right file and nothing else.
    fn gets(&self, mirrors: &[&str]) -> Vec<(u64, u64)> {
        let heard = self.fetch(mirrors).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(fs::read(self.0.join(TRAIN_IMAGES)).unwrap(), right());
        assert_eq!(self.names(), [TRAIN_IMAGES]);
        heard
    }

    /// Fetches in vain, checks that the error says in one line what to do, and gives this line.
    fn fails(&self, mirrors: &[&str]) -> String {
        let before = self.names();
        let line = self.fetch(mirrors).unwrap_err().to_string();
        assert_eq!(line.lines().count(), 1, "{line}");
        for part in ["set: cannot get", TRAIN_IMAGES, &self.0.display().to_string(), "by hand", "as the data"]
            .iter()
            .chain(mirrors)
        {
            assert!(line.contains(part), "no {part} in: {line}");
        }
        assert_eq!(self.names(), before, "something was left behind");
        line
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

#[test]
fn a_good_file_is_fetched_once_and_told_as_it_comes() {
    let (mirror, cache) = (Mirror::new(vec![Reply::whole(right())]), Cache::new());
    let heard = cache.gets(&[&mirror.url()]);
    let size = right().len() as u64;
    assert_eq!((heard[0], *heard.last().unwrap()), ((0, size), (size, size)));
    assert!(heard.len() > 3 && heard.is_sorted());
    assert!(cache.gets(&[&mirror.url()]).is_empty());
    assert_eq!(mirror.asked(), 1);
}

#[test]
fn a_body_of_unannounced_length_is_taken() {
    let mirror = Mirror::new(vec![Reply::Body { body: right(), length: None }]);
    Cache::new().gets(&[&mirror.url()]);
}

#[test]
fn a_good_cache_needs_no_network() {
    assert!(Cache::holding(&right()).gets(&[&nobody()]).is_empty());
}

#[test]
fn a_bad_cache_is_fetched_anew() {
    let mirror = Mirror::new(vec![Reply::whole(right())]);
    let mut flipped = right();
    flipped[100_000] ^= 1;
    for bad in [flipped, right()[..1000].to_vec(), vec![]] {
        Cache::holding(&bad).gets(&[&mirror.url()]);
    }
    assert_eq!(mirror.asked(), 3);
}

#[test]
fn a_bad_cache_without_network_is_told_and_kept() {
    let cache = Cache::holding(b"mine");
    assert!(cache.fails(&[&nobody()]).contains("the cached file has other contents"));
    assert_eq!(fs::read(cache.0.join(TRAIN_IMAGES)).unwrap(), b"mine");
}

#[test]
fn a_cut_connection_is_tried_again() {
    for at in [0, 1, 150_000] {
        let mirror = Mirror::new(vec![Reply::cut(at), Reply::cut(at), Reply::whole(right())]);
        Cache::new().gets(&[&mirror.url()]);
        assert_eq!(mirror.asked(), 3);
    }
}

#[test]
fn a_mirror_that_always_cuts_is_given_up_after_three_rounds_with_growing_pauses() {
    let (mirror, start) = (Mirror::new(vec![Reply::cut(100_000)]), Instant::now());
    let line = Cache::new().fails(&[&mirror.url()]);
    assert!(line.contains("100000 of 200000"), "{line}");
    assert_eq!(mirror.asked(), 3);
    assert!(start.elapsed() >= Duration::from_millis(20 + 40));
}

#[test]
fn a_short_body_of_unannounced_length_is_not_taken() {
    let mirror = Mirror::new(vec![Reply::Body { body: right()[..9].to_vec(), length: None }]);
    assert!(Cache::new().fails(&[&mirror.url()]).contains("9 of 200000"));
}

#[test]
fn wrong_contents_send_to_the_next_mirror() {
    let mut flipped = right();
    flipped[7] ^= 1;
    let (wrong, good) = (Mirror::new(vec![Reply::whole(flipped)]), Mirror::new(vec![Reply::whole(right())]));
    Cache::new().gets(&[&wrong.url(), &good.url()]);
    assert_eq!((wrong.asked(), good.asked()), (1, 1));
}

#[test]
fn wrong_contents_everywhere_are_refused_at_once() {
    let mut flipped = right();
    flipped[7] ^= 1;
    let mirrors = [
        Mirror::new(vec![Reply::whole(flipped)]),
        Mirror::new(vec![Reply::whole(b"Please log in".to_vec())]),
    ];
    let line = Cache::new().fails(&[&mirrors[0].url(), &mirrors[1].url()]);
    assert!(line.contains("other contents") && line.contains("offers 13 bytes instead of 200000"), "{line}");
    assert_eq!(mirrors.each_ref().map(Mirror::asked), [1, 1]);
}

#[test]
fn a_refusal_sends_to_the_next_mirror() {
    let (gone, good) = (Mirror::new(vec![Reply::Status(404)]), Mirror::new(vec![Reply::whole(right())]));
    Cache::new().gets(&[&gone.url(), &nobody(), &good.url()]);
    assert!(Cache::new().fails(&[&gone.url()]).contains("404"));
    assert_eq!(gone.asked(), 2);
}

#[test]
fn a_busy_server_is_asked_again() {
    let mirror = Mirror::new(vec![Reply::Status(503), Reply::Status(429), Reply::whole(right())]);
    Cache::new().gets(&[&mirror.url()]);
}

#[test]
fn redirects_are_followed_to_an_address_or_a_path() {
    let good = Mirror::new(vec![Reply::whole(right())]);
    let path = Reply::Redirect("/elsewhere?part=1".into());
    let away = Reply::Redirect(format!("{}file", good.url()));
    let mirror = Mirror::new(vec![path, away]);
    Cache::new().gets(&[&mirror.url()]);
    assert_eq!([mirror.asked(), good.asked()], [2, 1]);
    for (to, why) in
        [("/again", "more than 10 times"), ("ftp://x/y", "unknown scheme"), ("no-address", "without")]
    {
        let text = Cache::new().fails(&[&Mirror::new(vec![Reply::Redirect(to.into())]).url()]);
        assert!(text.contains(why), "{to}: {text}");
    }
}

#[test]
fn an_oversized_body_is_not_read_to_its_end() {
    let endless = [right(), vec![0; 50_000_000]].concat();
    let mirror = Mirror::new(vec![Reply::Body { body: endless.clone(), length: None }]);
    assert!(Cache::new().fails(&[&mirror.url()]).contains("more than the 200000 bytes"));
    let announced = Mirror::new(vec![Reply::whole(endless)]);
    assert!(Cache::new().fails(&[&announced.url()]).contains("offers 50200000 bytes"));
}

#[test]
fn a_stalled_server_is_left() {
    let (stalled, good) = (Mirror::new(vec![Reply::Stall]), Mirror::new(vec![Reply::whole(right())]));
    let start = Instant::now();
    Cache::new().gets(&[&stalled.url(), &good.url()]);
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert!(Cache::new().fails(&[&stalled.url()]).contains("0 of 200000"));
    assert_eq!(stalled.asked(), 1 + 3);
}

#[test]
fn two_at_once_do_no_harm() {
    let mirror = Mirror::new(vec![Reply::whole(right())]);
    let (cache, url) = (Cache::new(), mirror.url());
    // Past this line all see an empty folder at about the same time.
    let line = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                line.wait();
                cache.fetch(&[&url]).unwrap_or_else(|e| panic!("{e}"))
            });
        }
    });
    assert!(mirror.asked() > 1, "the fetches did not overlap");
    cache.gets(&[&nobody()]);
}

#[test]
fn only_old_leftovers_are_removed() {
    let cache = Cache::holding(&right());
    let part = |n: u32| cache.0.join(format!(".{TRAIN_IMAGES}.{n}{PART}"));
    for n in [0, 1] {
        fs::write(part(n), b"half").unwrap();
    }
    let yesterday = std::time::SystemTime::now() - Duration::from_secs(90_000);
    File::options().write(true).open(part(0)).unwrap().set_modified(yesterday).unwrap();
    remove_leftovers(&cache.0);
    assert_eq!([part(0), part(1)].map(|path| path.exists()), [false, true]);
}

#[test]
fn a_cache_that_cannot_be_made_is_told() {
    let cache = Cache::holding(b"a file");
    let inside = Cache(cache.0.join(TRAIN_IMAGES).join("set"), None);
    let line = inside.fetch(&[&nobody()]).unwrap_err().to_string();
    assert!(line.contains("cannot be written") && line.lines().count() == 1, "{line}");
    std::mem::forget(inside);
}

#[test]
fn published_sets_are_well_formed() {
    assert_eq!(SETS.each_ref().map(|set| set.name), crate::data::PUBLISHED);
    for set in SETS {
        assert!(
            set.mirrors.len() > 1
                && set.mirrors.iter().all(|mirror| mirror.starts_with("http") && mirror.ends_with('/'))
        );
        let names: Vec<_> = set.files.iter().map(|file| file.name).collect();
        let idx = [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS];
        assert!(names == idx || names == [cifar::ARCHIVE], "{names:?}");
        assert!(
            set.files
                .iter()
                .all(|file| file.sha256.len() == 64 && file.sha256.bytes().all(|b| b.is_ascii_hexdigit()))
        );
        assert!(
            cache_folder(set.name).is_none_or(|folder| folder.ends_with(Path::new("oneiro").join(set.name)))
        );
    }
}
