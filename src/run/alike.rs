//! Whether two configurations are of one run.

use super::{change::unchanged, dir::from_toml};

/// Whether two configurations belong to one run: the options that determine the result must be equal. The
/// path of the data may differ, since its contents are compared; options that a newer version has added do
/// not count, nor does what a sitting may change. Options that were changed count by their first values.
pub(super) fn same_run(theirs: &str, ours: &str) -> bool {
    let table = |text: &str| from_toml::<toml::Table>(text).unwrap_or_default();
    let (theirs, ours) = (table(theirs), table(ours));
    let alike = |a: &toml::Table, b: &toml::Table, but: &[&str]| {
        let known = a.iter().filter(|(key, _)| !but.contains(&key.as_str()) && b.contains_key(*key));
        known.into_iter().all(|(key, value)| b.get(key) == Some(value))
    };
    theirs.contains_key("options")
        && alike(&theirs, &ours, &["options", "sitting", "changes"])
        && alike(&unchanged(&theirs), &unchanged(&ours), &["data"])
}

/// What one rank's configuration has that is not as another's, if they do not train the same. The path of the data
/// may differ.
pub(super) fn unlike(theirs: &str, ours: &str) -> Option<&'static str> {
    let table = |text: &str| {
        let mut table = from_toml::<toml::Table>(text).unwrap_or_default();
        table.get_mut("options").and_then(toml::Value::as_table_mut).map(|options| options.remove("data"));
        table
    };
    let (theirs, ours) = (table(theirs), table(ours));
    let differs = |key: &str| theirs.get(key) != ours.get(key);
    match () {
        () if differs("images") => Some("other training images"),
        () if differs("weights") => Some("other --weights"),
        () => (theirs != ours).then_some("other options"),
    }
}

#[cfg(test)]
mod tests {
    use super::{same_run, unlike};

    #[test]
    fn ranks_with_other_images_or_options_are_named() {
        let config = |images: &str, lr: &str, steps: u64| {
            let [run, options] = [format!("model = \"vae\"\nimages = \"{images}\""), format!("lr = {lr}")];
            format!("{run}\n[options]\n{options}\ndata = \"a\"\n[sitting]\nsteps = {steps}\n")
        };
        let ours = config("1", "0.1", 5);
        assert_eq!(unlike(&ours, &ours.replace("data = \"a\"", "data = \"b\"")), None);
        assert_eq!(unlike(&ours, &config("2", "0.1", 5)), Some("other training images"));
        assert_eq!(unlike(&ours, &format!("weights = \"3\"\n{ours}")), Some("other --weights"));
        assert_eq!(unlike(&ours, &config("1", "0.2", 5)), Some("other options"));
        assert_eq!(unlike(&ours, &config("1", "0.1", 6)), Some("other options"));
    }

    #[test]
    fn what_makes_the_result_tells_runs_apart() {
        let config = |options: &str, sitting: &str| {
            format!("model = \"vae\"\nimages = \"1\"\n[options]\n{options}\n[sitting]\n{sitting}\n")
        };
        let ours = config("lr = 0.1\ndata = \"a\"\nnew = 1", "epochs = 3");
        assert!(same_run(&config("lr = 0.1\ndata = \"b\"", "epochs = 2"), &ours));
        assert!(same_run(&config("lr = 0.1\nepochs = 2", ""), &ours));
        assert!(!same_run(&config("lr = 0.2", "epochs = 3"), &ours));
        let changed = |to: &str, from: &str| {
            let change = format!("[[changes]]\nstep = 3\noption = \"lr\"\nfrom = {from}\nto = {to}\n");
            config(&format!("lr = {to}\ndata = \"a\""), "") + &change
        };
        assert!(same_run(&ours, &changed("0.01", "0.1")) && same_run(&changed("0.01", "0.1"), &ours));
        assert!(!same_run(&ours, &changed("0.01", "0.2")));
        assert!(!same_run("", &ours));
        assert!(!same_run(&ours.replace("vae", "gan"), &ours));
    }
}
