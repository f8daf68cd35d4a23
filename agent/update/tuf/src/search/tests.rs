//! The delegation cases of the published conformance suite.

use std::collections::BTreeMap;

use super::*;
use crate::simulator::*;

fn target() -> Target {
    let hashes = BTreeMap::from([("sha256".to_owned(), "00".repeat(32))]);
    Target { length: 1, hashes, custom: None, extra: serde_json::Map::new() }
}

/// (delegator, role, terminating, patterns).
type Delegation = (&'static str, &'static str, bool, &'static str);

/// Key 50 signs for all of them.
fn repository(delegations: &[Delegation]) -> Repository {
    let mut repository = Repository::new();
    let mut roles = BTreeSet::new();
    for (delegator, name, terminating, pattern) in delegations {
        let patterns: Vec<&str> = pattern.split(' ').collect();
        repository.delegate(delegator, 50, delegated(name, 50, &patterns, *terminating));
        roles.insert(*name);
    }
    for role in roles {
        repository.publish(role);
    }
    repository.publish("targets snapshot timestamp");
    repository
}

fn visited(repository: &Repository, path: &str) -> (bool, Vec<String>) {
    let mut client = Client::new(repository);
    let found = client.find(repository, path).unwrap().is_some();
    // The first four are the top-level roles.
    let names = client.asked[4..].iter();
    (found, names.map(|name| name[2..].trim_end_matches(".json").to_owned()).collect())
}

#[test]
fn graph_is_walked_depth_first_in_the_order_of_appearance() {
    let all = false;
    let end = true;
    let a = ("targets", "A", all, "*");
    let b = ("targets", "B", all, "*");
    let cases: [(&[Delegation], &str); 13] = [
        (&[a], "A"),
        (&[a, b], "A B"),
        (&[a, b, ("B", "C", all, "*")], "A B C"),
        (&[a, b, ("A", "C", all, "*"), ("A", "D", all, "*")], "A C D B"),
        (&[a, b, ("A", "C", all, "*"), ("C", "D", all, "*")], "A C D B"),
        (&[a, b, ("A", "C", end, "*"), ("A", "D", all, "*")], "A C"),
        (&[a, b, ("A", "C", end, "*"), ("C", "D", all, "*")], "A C D"),
        (&[("targets", "A", all, "*.py"), b, ("A", "C", all, "*")], "B"),
        (&[a, b, ("A", "C", all, "*.py"), ("C", "D", all, "*")], "A B"),
        (&[a, b, ("B", "C", all, "*"), ("C", "D", all, "*"), ("D", "B", all, "*")], "A B C D"),
        (&[a, b, ("B", "C", all, "*"), ("A", "C", all, "*")], "A C B"),
        (&[a, b, ("B", "C", all, "*"), ("A", "C", all, "*.py")], "A B C"),
        (&[("targets", "A", end, "*"), b], "A"),
    ];
    for (delegations, order) in cases {
        let (found, names) = visited(&repository(delegations), "missingpath");
        assert!(!found);
        assert_eq!(names.join(" "), order, "{delegations:?}");
    }
}

#[test]
fn target_is_found_where_every_role_on_the_way_delegates_its_path() {
    let mut tree = repository(&[
        ("targets", "A", false, "*.doc *.md foo-?.tgz"),
        ("targets", "B", false, "releases/*/*"),
        ("B", "C", false, "releases/x/*"),
        ("B", "D", false, "releases/y/*.zip"),
    ]);
    for (role, paths) in [
        ("A", "README.md releases/README.md foo-1.tgz foo-alpha.tgz"),
        ("C", "releases/x/x_v1"),
        ("D", "releases/y/y_v1.zip releases/z/z_v1.zip"),
    ] {
        let targets = &mut tree.delegated.get_mut(role).unwrap().targets;
        targets.extend(paths.split(' ').map(|path| (path.to_owned(), target())));
    }
    tree.targets.targets.insert("targetfile".into(), target());
    tree.publish("A B C D targets snapshot timestamp");
    for (path, is_there, order) in [
        ("targetfile", true, ""),
        ("README.md", true, "A"),
        ("releases/x/x_v1", true, "B C"),
        ("releases/y/y_v1.zip", true, "B D"),
        ("releases/z/z_v1.zip", false, "B"),
        ("releases/README.md", false, ""),
        ("foo-1.tgz", true, "A"),
        ("foo-alpha.tgz", false, ""),
        ("README.MD", false, ""),
    ] {
        let (found, names) = visited(&tree, path);
        assert_eq!((found, &*names.join(" ")), (is_there, order), "{path}");
    }
}

#[test]
fn unusual_role_names_are_quoted() {
    for (name, quoted) in
        [("?", "%3F"), ("#", "%23"), ("/role", "%2Frole"), ("../role", "..%2Frole")]
    {
        let (_, names) = visited(&repository(&[("targets", name, false, "*")]), "missing");
        assert_eq!(names, [quoted]);
    }
}

#[test]
fn role_is_verified_by_the_keys_of_the_delegator_that_led_to_it() {
    let mut diamond = Repository::new();
    diamond.delegate("targets", 50, delegated("parent-a", 50, &["team-a/*"], false));
    diamond.delegate("targets", 50, delegated("parent-b", 50, &["team-b/*"], false));
    diamond.delegate("parent-a", 51, delegated("release", 51, &["team-a/*"], false));
    diamond.delegate("parent-b", 52, delegated("release", 52, &["team-b/*"], false));
    diamond.signers.insert("release".into(), vec![51]);
    let release = diamond.delegated.get_mut("release").unwrap();
    for path in ["team-a/x", "team-b/x"] {
        release.targets.insert(path.into(), target());
    }
    diamond.publish("release parent-a parent-b targets snapshot timestamp");
    let mut client = Client::new(&diamond);
    assert!(client.find(&diamond, "team-a/x").unwrap().is_some());
    assert!(client.find(&diamond, "team-b/x").is_err());
}

#[test]
fn role_that_the_snapshot_does_not_list_is_not_even_asked_for() {
    let mut tree = repository(&[("targets", "A", false, "*")]);
    tree.snapshot.meta.remove("A.json");
    tree.publish("snapshot timestamp");
    let mut client = Client::new(&tree);
    let error = client.find(&tree, "x").unwrap_err();
    assert!(matches!(error, WorkflowError::Unlisted(_)), "{error}");
    assert_eq!(client.asked.len(), 4);
}

#[test]
fn search_ends_after_its_limit_of_roles() {
    let tree = repository(&[
        ("targets", "A", false, "*"),
        ("targets", "B", false, "*"),
        ("targets", "C", false, "*"),
    ]);
    let mut client = Client::new(&tree);
    client.limits.delegations = 2;
    assert!(client.find(&tree, "x").unwrap().is_none());
    assert_eq!(client.asked.len(), 6);
}

#[test]
fn hash_prefix_delegates_a_part_of_all_paths() {
    let mut role = delegated("bin", 1, &[], false);
    role.paths = None;
    let hash = hex::encode(digest(&SHA256, b"a/b").as_ref());
    role.path_hash_prefixes = Some(vec![hash[..2].to_owned()]);
    assert!(covers(&role, "a/b"));
    role.path_hash_prefixes = Some(vec!["zz".to_owned()]);
    assert!(!covers(&role, "a/b"));
}

#[test]
fn patterns_match_within_their_part_of_a_path() {
    for (pattern, path, is_match) in [
        ("*", "a", true),
        ("*", "a/b", false),
        ("a*c", "abbc", true),
        ("a*c", "abbd", false),
        ("*a*b*", "xxaxxbxx", true),
        ("?", "é", true),
        ("a?", "a", false),
        ("", "", true),
        ("**", "x", true),
        ("[ab]", "a", false),
    ] {
        assert_eq!(fits(pattern, path), is_match, "{pattern} {path}");
    }
}
