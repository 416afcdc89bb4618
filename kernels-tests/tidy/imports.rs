//! What a Rust file imports: paths that begin with `crate`, `super`, `self` or a child module, in `use` trees
//! and in the code.

/// A path that a file imports.
#[derive(Clone, Debug)]
pub(super) struct Import {
    /// The line on which it stands.
    pub(super) line: usize,
    /// The parts of the path, from the crate's root.
    pub(super) path: Vec<String>,
    /// Whether the file passes the name on (`pub use`).
    pub(super) passed_on: bool,
    /// Whether the file uses the name itself.
    pub(super) used: bool,
}

/// Identifiers, `::` and single signs with their lines; comments and the insides of literals are left out.
fn tokens(text: &str) -> Vec<(usize, &str)> {
    let bytes = text.as_bytes();
    let (mut found, mut at, mut line) = (vec![], 0, 1);
    while at < bytes.len() {
        let rest = &text[at..];
        let length = match bytes[at] {
            b'/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            b'/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            b'r' if rest.starts_with("r\"") => 3 + rest[2..].find('"').expect("a closed string"),
            b'r' if rest.starts_with("r#\"") => 5 + rest[3..].find("\"#").expect("a closed string"),
            b'"' => string(rest),
            b'\'' => quote(rest),
            byte if byte == b'_' || byte.is_ascii_alphanumeric() => {
                let word = |c: char| c == '_' || c.is_alphanumeric();
                let length = rest.find(|c| !word(c)).unwrap_or(rest.len());
                found.push((line, &rest[..length]));
                length
            }
            b':' if rest.starts_with("::") => {
                found.push((line, "::"));
                2
            }
            byte => {
                let length = rest.chars().next().map_or(1, char::len_utf8);
                if !byte.is_ascii_whitespace() {
                    found.push((line, &rest[..length]));
                }
                length
            }
        };
        line += rest[..length].matches('\n').count();
        at += length;
    }
    found
}

/// The length of the string literal that begins here.
fn string(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.expect("a closed string") + 2
}

/// The length of the character literal that begins here, or of the sign of a lifetime.
fn quote(text: &str) -> usize {
    let second = text[1..].chars().next().map_or(1, char::len_utf8);
    match text.as_bytes()[1] {
        b'\\' => 3 + text[3..].find('\'').expect("a closed character"),
        _ if text[1 + second..].starts_with('\'') => second + 2,
        _ => 1,
    }
}

/// All paths of the tree that begins at token `at`, below `path`, and the first token after it.
fn tree(
    tokens: &[(usize, &str)],
    mut at: usize,
    mut path: Vec<String>,
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let line = tokens[at].0;
    if tokens[at].1 == "{" {
        at += 1;
        while tokens[at].1 != "}" {
            at = if tokens[at].1 == "," { at + 1 } else { tree(tokens, at, path.clone(), found) };
        }
        return at + 1;
    }
    path.push(tokens[at].1.to_string());
    let sign = |i: usize| tokens.get(i).map_or("", |t| t.1);
    if sign(at + 1) == "::" && sign(at + 2) != "<" {
        return tree(tokens, at + 2, path, found);
    }
    found.push((line, path));
    // `a as b`: the new name is no path.
    if sign(at + 1) == "as" { at + 3 } else { at + 1 }
}

/// The paths that a file with this text imports; `module` is the path of the file itself.
pub(super) fn imports(text: &str, module: &[String]) -> Vec<Import> {
    let tokens = tokens(text);
    let sign = |i: usize| tokens.get(i).map_or("", |t| t.1);
    let declared = |i: usize| sign(i) == "mod" && sign(i + 2) == ";";
    let children: Vec<&str> = (0..tokens.len()).filter(|&i| declared(i)).map(|i| sign(i + 1)).collect();
    let (mut found, mut at, mut passed_on) = (vec![], 0, false);
    // Modules written within the file that are open here, each with the depth of braces outside of it.
    let (mut inner, mut depth) = (Vec::<(&str, i32)>::new(), 0);
    while at < tokens.len() {
        match sign(at) {
            "mod" if sign(at + 2) == "{" => inner.push((sign(at + 1), depth)),
            "use" => passed_on = inner.is_empty() && at > 0 && [")", "pub"].contains(&sign(at - 1)),
            ";" => passed_on = false,
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inner.pop_if(|(_, outside)| *outside == depth);
            }
            _ => {}
        }
        let begins = at == 0 || !["::", "."].contains(&sign(at - 1));
        let child = children.contains(&sign(at)) && inner.is_empty();
        if !begins || sign(at + 1) != "::" || !(child || ["crate", "self", "super"].contains(&sign(at))) {
            at += 1;
            continue;
        }
        let (start, mut paths) = (at, vec![]);
        at = tree(&tokens, at, vec![], &mut paths);
        if sign(at) == "!" {
            // A macro stands at the crate's root, whatever file makes it.
            continue;
        }
        let inner = inner.iter().map(|(name, _)| name.to_string());
        let here: Vec<String> = module.iter().cloned().chain(inner).collect();
        let elsewhere = |name: &String| {
            let use_of = |&i: &usize| sign(i) == name && !["mod", "::"].contains(&sign(i - 1));
            (1..start).chain(at..tokens.len()).filter(use_of).any(|i| sign(i + 1) != "::")
        };
        for (line, path) in paths {
            let used = !passed_on || path.last().is_some_and(elsewhere);
            found.push(Import { line, path: absolute(&here, &path), passed_on, used });
        }
    }
    found
}

/// A path that begins with `crate`, `super`, `self` or a child's name, from the crate's root.
fn absolute(here: &[String], path: &[String]) -> Vec<String> {
    let ups = path.iter().take_while(|part| *part == "super" || *part == "self").count();
    let supers = path[..ups].iter().filter(|part| *part == "super").count();
    match path[0].as_str() {
        "crate" => path[1..].to_vec(),
        _ => [&here[..here.len() - supers], &path[ups..]].concat(),
    }
}

#[test]
fn paths_are_found_wherever_they_stand() {
    let text = r##"
        //! crate::comment
        mod child;
        pub use child::p;
        pub(crate) use crate::{a::{bee, c as d}, e};
        use super::{self, f::*};
        fn g<'a>(x: &'a str) -> char {
            let _: c = (crate::no!("x"), "crate::no \" crate::no", '"', b'\'', r#"crate::no"#, x.child);
            child::h(crate::i::<u8>(), self::j::K);
            'l'
        }
        mod tests {
            use super::{super::m, n};
        }
        use crate::last;
    "##;
    let found = imports(text, &["room".into(), "file".into()]);
    let show = |i: &Import| format!("{} {}{}", i.line, i.path.join("/"), if i.used { "" } else { " on" });
    let wanted = [
        "4 room/file/child/p on",
        "5 a/bee on",
        "5 a/c",
        "5 e on",
        "6 room",
        "6 room/f/*",
        "9 room/file/child/h",
        "9 i",
        "9 room/file/j/K",
        "13 room/m",
        "13 room/file/n",
        "15 last",
    ];
    assert_eq!(found.iter().map(show).collect::<Vec<_>>(), wanted);
}
