//! A published data set is a few files, each known by its SHA-256, and several places that hold them.
//!
//! The digest decides, and the place does not matter: a mirror may be run by strangers, or speak plain
//! HTTP. A file is received under a temporary name, checked, synced and renamed: the cache holds whole,
//! right files or none, and two processes at once do no more than fetch one file twice.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::http::{HeaderMap, Uri, header::LOCATION};
use ureq::{Agent, Body, config::Config};

use super::cifar;
use super::error::DataError;
use super::images::{Progress, Unit};

/// A data set as it was published.
struct Published<'a> {
    name: &'a str,
    /// The addresses to which a file's name is appended, in the order in which they are asked.
    mirrors: &'a [&'a str],
    files: &'a [Remote<'a>],
}

/// One file of a published data set.
struct Remote<'a> {
    name: &'a str,
    /// The size in bytes; nothing beyond is read.
    size: u64,
    /// The SHA-256 in hexadecimal.
    sha256: &'a str,
}

const fn file<'a>(name: &'a str, size: u64, sha256: &'a str) -> Remote<'a> {
    Remote { name, size, sha256 }
}

const TRAIN_IMAGES: &str = "train-images-idx3-ubyte.gz";
const TRAIN_LABELS: &str = "train-labels-idx1-ubyte.gz";
const TEST_IMAGES: &str = "t10k-images-idx3-ubyte.gz";
const TEST_LABELS: &str = "t10k-labels-idx1-ubyte.gz";

// Sizes and digests are those that TensorFlow Datasets records for the original files.
const SETS: [Published; 4] = [
    Published {
        name: "mnist",
        mirrors: &[
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ],
        files: &[
            file(TRAIN_IMAGES, 9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            file(TRAIN_LABELS, 28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            file(TEST_IMAGES, 1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            file(TEST_LABELS, 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ],
    },
    Published {
        name: "fashion-mnist",
        mirrors: &[
            "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ],
        files: &[
            file(
                TRAIN_IMAGES,
                26_421_880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            file(TRAIN_LABELS, 29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            file(TEST_IMAGES, 4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            file(TEST_LABELS, 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        ],
    },
    Published {
        name: "kmnist",
        mirrors: &[
            "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/KMNIST/",
        ],
        files: &[
            file(
                TRAIN_IMAGES,
                18_165_135,
                "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            ),
            file(TRAIN_LABELS, 29_497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
            file(TEST_IMAGES, 3_041_136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
            file(TEST_LABELS, 5_120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
        ],
    },
    Published {
        name: "cifar10",
        mirrors: &[
            "https://www.cs.toronto.edu/~kriz/",
            "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/",
        ],
        files: &[file(
            cifar::ARCHIVE,
            170_052_171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        )],
    },
];

/// The folder in which the files of data set `name` are kept: `oneiro/NAME` in the user's cache folder (on Linux
/// `$XDG_CACHE_HOME` or `~/.cache`). `None` where the system names no such folder.
pub fn cache_folder(name: &str) -> Option<PathBuf> {
    Some(dirs::cache_dir()?.join("oneiro").join(name))
}

/// The folder with the files of one of [`PUBLISHED`](super::PUBLISHED); fetches what the cache lacks.
///
/// `progress` hears of every piece that arrives. Nothing is asked of the network, and nothing written,
/// where all files are there with their digests.
///
/// # Errors
/// No cache folder, one that cannot be written, or a file that no mirror gives.
///
/// # Panics
/// If `name` is not one of [`PUBLISHED`](super::PUBLISHED).
pub fn fetch(name: &str, progress: &mut dyn FnMut(&Progress)) -> Result<PathBuf, DataError> {
    let set = SETS
        .iter()
        .find(|set| set.name == name)
        .unwrap_or_else(|| panic!("no published data set is called {name}"));
    let folder = cache_folder(name).ok_or_else(|| DataError::NoCache { name: name.to_owned() })?;
    fetch_into(&folder, set, &Client::new(), progress)?;
    Ok(folder)
}

/// Fetches what the folder lacks of any files, from any mirrors, with any client.
fn fetch_into(
    folder: &Path,
    set: &Published,
    client: &Client,
    progress: &mut dyn FnMut(&Progress),
) -> Result<(), DataError> {
    let missing: Vec<_> = set.files.iter().filter(|file| !file.is_in(folder)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let unwritable = |source| DataError::Unwritable { path: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(unwritable)?;
    remove_leftovers(folder);
    for (at, file) in missing.iter().enumerate() {
        let tried = match client.fetch(folder, set.mirrors, file, progress).map_err(unwritable)? {
            Outcome::Fetched => continue,
            Outcome::Refused(tried) => tried,
        };
        let cached = folder.join(file.name).exists().then(|| "the cached file has other contents".to_owned());
        return Err(DataError::Download {
            name: set.name.to_owned(),
            missing: missing[at..].iter().map(|file| file.name.to_owned()).collect(),
            folder: folder.to_owned(),
            tried: cached.into_iter().chain(tried).collect(),
        });
    }
    Ok(())
}

impl Remote<'_> {
    /// Whether the folder holds this file with its digest.
    fn is_in(&self, folder: &Path) -> bool {
        let path = folder.join(self.name);
        // Of another size it is not even read. A file that cannot be read is as good as none.
        fs::metadata(&path).is_ok_and(|found| found.len() == self.size)
            && fs::read(&path).is_ok_and(|bytes| hex(Sha256::new_with_prefix(bytes)) == self.sha256)
    }
}

fn hex(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How mirrors are asked, how long one waits for them, and how often they are asked again.
struct Client {
    agent: Agent,
    /// How often a mirror is asked while its failures may pass.
    rounds: u32,
    /// The wait before the second round; it doubles with each further one.
    pause: Duration,
}

enum Outcome {
    Fetched,
    /// The address of each mirror that was asked, and why it was of no use.
    Refused(Vec<String>),
}

/// Why an attempt failed.
enum Fault {
    /// The disk failed; the mirror has nothing to do with it.
    Disk(io::Error),
    /// A cut connection, a time-out or a busy server, which may be no fault the next time.
    Passing(String),
    /// A fault that will be the same the next time.
    Lasting(String),
}

impl Client {
    fn new() -> Self {
        Self { agent: Agent::new_with_config(Self::config()), rounds: 3, pause: Duration::from_secs(1) }
    }

    fn config() -> Config {
        let seconds = |n| Some(Duration::from_secs(n));
        Agent::config_builder()
            .user_agent(concat!("oneiro/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(seconds(10))
            .timeout_connect(seconds(10))
            .timeout_recv_response(seconds(20))
            .timeout_per_read(seconds(20))
            // Against a server that drips; the largest file needs 48 kB/s.
            .timeout_recv_body(seconds(3600))
            .build()
    }

    /// Fetches one file from the first mirror that gives it; each round asks all mirrors of which there is still hope.
    fn fetch(
        &self,
        folder: &Path,
        mirrors: &[&str],
        file: &Remote,
        progress: &mut dyn FnMut(&Progress),
    ) -> io::Result<Outcome> {
        let mut faults: Vec<Option<Fault>> = mirrors.iter().map(|_| None).collect();
        for round in 0..self.rounds {
            let hopeful = |fault: &Option<Fault>| matches!(fault, None | Some(Fault::Passing(_)));
            if round > 0 && faults.iter().any(hopeful) {
                thread::sleep(self.pause * 2_u32.pow(round - 1));
            }
            for (mirror, fault) in mirrors.iter().zip(&mut faults).filter(|(_, fault)| hopeful(fault)) {
                match self.attempt(&format!("{mirror}{}", file.name), folder, file, progress) {
                    Ok(()) => return Ok(Outcome::Fetched),
                    Err(Fault::Disk(error)) => return Err(error),
                    Err(other) => *fault = Some(other),
                }
            }
        }
        let told = mirrors.iter().zip(faults).filter_map(|(mirror, fault)| match fault? {
            Fault::Passing(why) | Fault::Lasting(why) => Some(format!("{mirror}: {why}")),
            Fault::Disk(_) => None,
        });
        Ok(Outcome::Refused(told.collect()))
    }

    /// Makes one request; the file is in the folder afterwards only if all of it is right.
    fn attempt(
        &self,
        url: &str,
        folder: &Path,
        file: &Remote,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<(), Fault> {
        let mut body = ask(&self.agent, url, file)?;
        let mut part = Part::create(folder, file.name).map_err(Fault::Disk)?;
        receive(body.as_reader(), &mut part.file, file, progress)?;
        part.keep(&folder.join(file.name)).map_err(Fault::Disk)
    }
}

/// The most redirects that one request follows.
const REDIRECTS: usize = 10;

/// Requests a file; the body of an answer that may be this file. Redirects are followed here, without their bodies:
/// ureq reads these, and 3.5 panics where one breaks off in its last chunk.
fn ask(agent: &Agent, url: &str, file: &Remote) -> Result<Body, Fault> {
    let mut url: Uri = url.parse().map_err(|e| Fault::Lasting(format!("{url} is no address ({e})")))?;
    for _ in 0..=REDIRECTS {
        let request = agent.get(&url).config().max_redirects(0).max_redirects_will_error(false).build();
        let answer = request.call().map_err(refused)?;
        if answer.status().is_redirection() {
            url = target(&url, answer.headers())
                .ok_or_else(|| Fault::Lasting("redirects without an address".to_owned()))?;
            continue;
        }
        let body = answer.into_body();
        return match body.content_length().filter(|&n| n != file.size) {
            Some(offered) => Err(Fault::Lasting(format!("offers {offered} bytes instead of {}", file.size))),
            None => Ok(body),
        };
    }
    Err(Fault::Lasting(format!("redirects more than {REDIRECTS} times")))
}

/// Where a redirect from an address leads: to a whole address, or to another path of the same server.
fn target(from: &Uri, headers: &HeaderMap) -> Option<Uri> {
    let mut to = headers.get(LOCATION)?.to_str().ok()?.parse::<Uri>().ok()?.into_parts();
    to.scheme = to.scheme.or_else(|| from.scheme().cloned());
    to.authority = to.authority.or_else(|| from.authority().cloned());
    Uri::from_parts(to).ok()
}

/// Whether a mirror's answer, as it comes from the agent's connection, gives a file of 64 zeros.
#[cfg(any(test, fuzzing))]
pub(super) fn gives_zeros(agent: impl FnOnce(Config) -> Agent) -> bool {
    let sha256 = hex(Sha256::new_with_prefix([0; 64]));
    let file = file("zeros", 64, &sha256);
    let body = ask(&agent(Client::config()), "http://mirror.invalid/zeros", &file);
    body.and_then(|mut body| receive(body.as_reader(), &mut io::sink(), &file, &mut |_| ())).is_ok()
}

/// Copies the body into `to` while checking it; reads at most one byte beyond the file's size.
fn receive(
    body: impl Read,
    to: &mut impl Write,
    file: &Remote,
    progress: &mut dyn FnMut(&Progress),
) -> Result<(), Fault> {
    let mut body = body.take(file.size + 1);
    let (mut digest, mut done, mut piece) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        progress(&Progress { file: file.name, unit: Unit::Bytes, done, total: file.size });
        let cut = |e: io::Error| Fault::Passing(format!("cut after {done} of {} bytes ({e})", file.size));
        let read = match body.read(&mut piece) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(cut)?,
        };
        if read == 0 {
            break;
        }
        done += read as u64;
        if done > file.size {
            return Err(Fault::Lasting(format!("sends more than the {} bytes of the file", file.size)));
        }
        digest.update(&piece[..read]);
        to.write_all(&piece[..read]).map_err(Fault::Disk)?;
    }
    match done == file.size {
        false => Err(Fault::Passing(format!("ended after {done} of {} bytes", file.size))),
        true if hex(digest) == file.sha256 => Ok(()),
        true => Err(Fault::Lasting("sends other contents than were published".to_owned())),
    }
}

/// The fault that a request without a usable answer is.
fn refused(error: ureq::Error) -> Fault {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    use ureq::Timeout::{Connect, Resolve};
    let passing = match &error {
        ureq::Error::StatusCode(status) => *status == 429 || *status >= 500,
        ureq::Error::Io(e) => {
            matches!(e.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
        }
        // Who cannot connect now cannot in three seconds, and waiting would delay the message offline.
        ureq::Error::Timeout(at) => !matches!(at, Connect | Resolve),
        ureq::Error::Protocol(_) => true,
        _ => false,
    };
    let why = error.to_string();
    if passing { Fault::Passing(why) } else { Fault::Lasting(why) }
}

/// A file that is being received; it is removed when dropped, unless it was kept.
struct Part {
    file: File,
    path: PathBuf,
    kept: bool,
}

const PART: &str = ".part";

impl Part {
    /// Makes a file of the first free temporary name, so that no other process writes into it.
    fn create(folder: &Path, name: &str) -> io::Result<Self> {
        let mut number = 0;
        loop {
            let path = folder.join(format!(".{name}.{number}{PART}"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && number < 1000 => number += 1,
                file => return Ok(Self { file: file?, path, kept: false }),
            }
        }
    }

    fn keep(mut self, target: &Path) -> io::Result<()> {
        // Without this a power cut may keep the rename and lose the content.
        self.file.sync_all()?;
        fs::rename(&self.path, target)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes what killed processes left a day ago or earlier; younger files may be growing.
fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let old = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        let part = entry.file_name().to_string_lossy().ends_with(PART);
        if part && old().is_some_and(|age| age > Duration::from_secs(86_400)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests;
