//! The decision what the set-up does. It is a pure function of what was found on the machine, so each kind of
//! machine is a test.

/// The properties of a machine.
#[derive(Clone, Debug)]
pub(crate) struct System {
    pub(crate) os: Os,
    /// Whether there is a Vulkan loader, `libvulkan.so.1`.
    pub(crate) loader: bool,
    /// The drivers whose manifest and library both exist.
    pub(crate) drivers: Vec<Driver>,
    /// The environment variable that limits the loader to the drivers it names, if one is set.
    pub(crate) restricted_by: Option<&'static str>,
    /// Whether there is a device node of a GPU.
    pub(crate) gpu: bool,
    pub(crate) packages: Option<Packages>,
    pub(crate) root: bool,
    pub(crate) sudo: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Os {
    Mac,
    Windows,
    Linux,
    Other,
}

/// The kind of a Vulkan driver. A manifest alone says little, since distributions install those of all
/// vendors together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Driver {
    Hardware,
    /// Mesa's lavapipe, which runs on the CPU.
    Software,
}

/// The system's package manager.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Packages {
    Apt,
    Dnf,
    Pacman,
}

/// What the set-up does.
#[derive(Debug, PartialEq)]
pub(crate) enum Plan {
    /// Nothing is missing. The text says what was found.
    Ready(&'static str),
    /// These commands are run, for this reason.
    Install { why: &'static str, steps: Vec<Step> },
    /// The user must act. The text says how.
    ByHand(String),
}

/// A command of the set-up.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) words: Vec<String>,
    /// Whether the next step may succeed although this one failed.
    pub(crate) may_fail: bool,
}

impl Step {
    fn new(words: &[&str]) -> Self {
        Self { words: words.iter().map(|w| w.to_string()).collect(), may_fail: false }
    }

    /// The command as it would be typed.
    pub(crate) fn line(&self) -> String {
        self.words.join(" ")
    }
}

/// Decides what the set-up does on a machine.
pub(crate) fn decide(system: &System) -> Plan {
    match system.os {
        Os::Mac => return Plan::Ready("macOS brings Metal: nothing to set up"),
        Os::Windows => return Plan::Ready("Windows brings DirectX 12: nothing to set up"),
        Os::Other => {
            return Plan::ByHand("install a Vulkan loader and driver for this system".into());
        }
        Os::Linux => {}
    }
    let software = system.drivers.contains(&Driver::Software);
    let hardware = system.gpu && system.drivers.contains(&Driver::Hardware);
    if system.loader && hardware {
        return Plan::Ready("a GPU and its Vulkan driver are there");
    }
    if system.loader && software {
        return Plan::Ready("a software driver is there, and no GPU with a driver: slow, but it works");
    }
    let driver = hardware || software;
    if let (false, Some(variable)) = (driver, system.restricted_by) {
        return Plan::ByHand(format!("{variable} is set and names no usable driver; unset it"));
    }
    let why = match (system.loader, driver) {
        (false, true) => "there is no Vulkan loader (libvulkan.so.1)",
        (true, _) => "there is no Vulkan driver that can run here",
        (false, false) => "there is neither a Vulkan loader (libvulkan.so.1) nor a driver",
    };
    let Some(packages) = system.packages else {
        let needed = "install a Vulkan loader and Mesa's software driver (lavapipe)";
        return Plan::ByHand(format!(
            "{why}, and none of apt-get, dnf, pacman to install one; {needed} by hand"
        ));
    };
    let names = match packages {
        Packages::Apt => ["libvulkan1", "mesa-vulkan-drivers"],
        Packages::Dnf => ["vulkan-loader", "mesa-vulkan-drivers"],
        Packages::Pacman => ["vulkan-icd-loader", "vulkan-swrast"],
    };
    let missing = names.into_iter().zip([!system.loader, !driver]).filter(|(_, missing)| *missing);
    install(system, packages, &missing.map(|(name, _)| name).collect::<Vec<_>>(), why)
}

/// Decides what is installed for tests of windows and pages: a screen that nobody sees, and a browser.
pub(crate) fn screens(system: &System, xvfb: bool, browser: bool) -> Plan {
    if system.os != Os::Linux || (xvfb && browser) {
        return Plan::Ready("what windows and pages need is there");
    }
    let why = "there is no Xvfb or no Chromium for the tests of windows and pages";
    let Some(packages) = system.packages else {
        return Plan::ByHand(format!("{why}; install both by hand"));
    };
    // The window's library finds those of X at run time.
    let (screen, chromium) = match packages {
        Packages::Apt => {
            (["xvfb", "libx11-xcb1", "libxcursor1", "libxi6", "libxkbcommon-x11-0"].as_slice(), "chromium")
        }
        Packages::Dnf => (
            ["xorg-x11-server-Xvfb", "libX11-xcb", "libXcursor", "libXi", "libxkbcommon-x11"].as_slice(),
            "chromium",
        ),
        Packages::Pacman => {
            (["xorg-server-xvfb", "libx11", "libxcursor", "libxi", "libxkbcommon-x11"].as_slice(), "chromium")
        }
    };
    let screen = if xvfb { &[] } else { screen };
    let names: Vec<_> = screen.iter().chain((!browser).then_some(&chromium)).copied().collect();
    install(system, packages, &names, why)
}

/// The programs and libraries that tests of ranks as processes need.
#[derive(Clone, Copy)]
pub(crate) struct Mpi {
    /// Whether Open MPI's `mpirun` and `mpicc` are there. Another MPI's options are not the tests'.
    pub(crate) programs: bool,
    /// Whether there is libclang, by which the bindings are made.
    pub(crate) libclang: bool,
}

/// Decides what is installed for ranks that are processes.
pub(crate) fn mpi(system: &System, found: Mpi) -> Plan {
    let why = match (found.programs, found.libclang) {
        (true, true) => return Plan::Ready("Open MPI and libclang are there"),
        (false, _) => "there is no Open MPI (`mpirun` and `mpicc`)",
        (true, false) => "there is no libclang, by which the bindings of MPI are made",
    };
    match system.packages {
        Some(packages @ Packages::Apt) => {
            let programs = ["libopenmpi-dev", "openmpi-bin"].map(|name| (name, found.programs));
            let missing =
                programs.into_iter().chain([("libclang-dev", found.libclang)]).filter(|(_, there)| !there);
            install(system, packages, &missing.map(|(name, _)| name).collect::<Vec<_>>(), why)
        }
        _ => Plan::ByHand(format!(
            "{why}; install Open MPI and libclang, and let LIBCLANG_PATH name its folder"
        )),
    }
}

/// Decides what is installed for Khronos' validator of SPIR-V.
pub(crate) fn spirv(system: &System, there: bool) -> Plan {
    match system.packages {
        _ if there => Plan::Ready("spirv-val is there"),
        Some(packages) => install(system, packages, &["spirv-tools"], "there is no spirv-val"),
        None => Plan::ByHand("there is no spirv-val on PATH; install Khronos' SPIRV-Tools".into()),
    }
}

/// The installation of packages, or what to type where the user may not install any.
fn install(system: &System, packages: Packages, names: &[&str], why: &'static str) -> Plan {
    let steps = steps(packages, names, !system.root);
    if !system.root && !system.sudo {
        let list = by_hand(&steps, "su -c '", "'");
        return Plan::ByHand(format!("{why}, and no sudo to install it; type:\n{list}"));
    }
    Plan::Install { why, steps }
}

/// The commands that install these packages.
fn steps(packages: Packages, names: &[&str], sudo: bool) -> Vec<Step> {
    let mut install = match packages {
        Packages::Apt => {
            // sudo clears the environment, so the variable is set behind it.
            let quiet = ["env", "DEBIAN_FRONTEND=noninteractive"];
            let rest = ["apt-get", "install", "-y", "--no-install-recommends"];
            Step::new(&[quiet.as_slice(), &rest].concat())
        }
        Packages::Dnf => Step::new(&["dnf", "install", "-y"]),
        Packages::Pacman => Step::new(&["pacman", "-S", "--noconfirm", "--needed"]),
    };
    install.words.extend(names.iter().map(|name| name.to_string()));
    let mut steps = vec![install];
    if packages == Packages::Apt {
        // If one foreign package source cannot be reached, the installation can still succeed.
        let update = Step { may_fail: true, ..Step::new(&["apt-get", "update"]) };
        steps.insert(0, update);
    }
    if sudo {
        for step in &mut steps {
            step.words.insert(0, "sudo".into());
        }
    }
    steps
}

/// The commands as an indented list, each without `sudo` and between `before` and `after`.
fn by_hand(steps: &[Step], before: &str, after: &str) -> String {
    let line = |step: &Step| {
        let line = step.line();
        format!("    {before}{}{after}", line.strip_prefix("sudo ").unwrap_or(&line))
    };
    steps.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bare Debian container: the user is root, apt is there, and nothing else.
    fn bare() -> System {
        System {
            os: Os::Linux,
            loader: false,
            drivers: vec![],
            restricted_by: None,
            gpu: false,
            packages: Some(Packages::Apt),
            root: true,
            sudo: false,
        }
    }

    fn lines(plan: &Plan) -> Vec<String> {
        match plan {
            Plan::Install { steps, .. } => steps.iter().map(Step::line).collect(),
            other => panic!("no installation: {other:?}"),
        }
    }

    fn ready(system: &System) -> bool {
        matches!(decide(system), Plan::Ready(_))
    }

    #[test]
    fn systems_with_a_driver_of_their_own_need_nothing() {
        assert!(ready(&System { os: Os::Mac, ..bare() }));
        assert!(ready(&System { os: Os::Windows, ..bare() }));
        assert!(matches!(decide(&System { os: Os::Other, ..bare() }), Plan::ByHand(_)));
    }

    #[test]
    fn a_gpu_with_its_driver_is_enough() {
        let system = System { loader: true, gpu: true, drivers: vec![Driver::Hardware], ..bare() };
        assert!(ready(&system));
        assert!(!ready(&System { loader: false, ..system }));
    }

    #[test]
    fn a_vendors_manifest_without_its_gpu_is_not() {
        let system = System { loader: true, drivers: vec![Driver::Hardware], ..bare() };
        assert!(lines(&decide(&system))[1].ends_with("recommends mesa-vulkan-drivers"));
    }

    #[test]
    fn a_gpu_without_its_driver_falls_back_to_the_software_driver() {
        let system = System { loader: true, gpu: true, drivers: vec![Driver::Software], ..bare() };
        assert!(ready(&system));
        assert!(!ready(&System { drivers: vec![], ..system }));
    }

    #[test]
    fn a_bare_debian_gets_both_packages_after_an_update() {
        let expected = [
            "apt-get update",
            "env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
             libvulkan1 mesa-vulkan-drivers",
        ];
        assert_eq!(lines(&decide(&bare())), expected);
    }

    #[test]
    fn only_what_is_missing_is_installed() {
        let driver = System { drivers: vec![Driver::Software], ..bare() };
        assert!(lines(&decide(&driver))[1].ends_with("recommends libvulkan1"));
    }

    #[test]
    fn others_use_sudo_and_their_own_package_manager() {
        let user = System { root: false, sudo: true, ..bare() };
        assert!(lines(&decide(&user)).iter().all(|line| line.starts_with("sudo ")));
        let fedora = System { packages: Some(Packages::Dnf), ..user.clone() };
        let expected = "sudo dnf install -y vulkan-loader mesa-vulkan-drivers";
        assert_eq!(lines(&decide(&fedora)), [expected]);
        let arch = System { packages: Some(Packages::Pacman), ..user };
        let expected = "sudo pacman -S --noconfirm --needed vulkan-icd-loader vulkan-swrast";
        assert_eq!(lines(&decide(&arch)), [expected]);
    }

    #[test]
    fn where_it_cannot_install_it_says_what_to_type() {
        let Plan::ByHand(text) = decide(&System { root: false, ..bare() }) else { panic!() };
        assert!(text.contains("no sudo") && text.contains("su -c 'apt-get update'"), "{text}");
        let Plan::ByHand(text) = decide(&System { packages: None, ..bare() }) else { panic!() };
        assert!(text.contains("by hand"), "{text}");
    }

    #[test]
    fn mpi_comes_with_what_its_bindings_need() {
        let found = |programs, libclang| Mpi { programs, libclang };
        assert!(matches!(mpi(&bare(), found(true, true)), Plan::Ready(_)));
        let installed = |found| lines(&mpi(&bare(), found)).remove(1);
        assert!(
            installed(found(false, false)).ends_with("recommends libopenmpi-dev openmpi-bin libclang-dev")
        );
        assert!(installed(found(true, false)).ends_with("recommends libclang-dev"));
        assert!(installed(found(false, true)).ends_with("recommends libopenmpi-dev openmpi-bin"));
        let mac = System { os: Os::Mac, packages: None, ..bare() };
        let Plan::ByHand(text) = mpi(&mac, found(false, true)) else { panic!() };
        assert!(text.contains("no Open MPI") && text.contains("LIBCLANG_PATH"), "{text}");
    }

    #[test]
    fn the_validator_comes_by_the_package_manager() {
        assert!(matches!(spirv(&bare(), true), Plan::Ready(_)));
        assert!(lines(&spirv(&bare(), false))[1].ends_with("recommends spirv-tools"));
        assert!(matches!(spirv(&System { packages: None, ..bare() }, false), Plan::ByHand(_)));
    }

    #[test]
    fn a_variable_that_hides_all_drivers_is_named() {
        let hidden = System { loader: true, restricted_by: Some("VK_ICD_FILENAMES"), ..bare() };
        let Plan::ByHand(text) = decide(&hidden) else { panic!() };
        assert!(text.contains("VK_ICD_FILENAMES") && text.contains("unset"), "{text}");
    }
}
