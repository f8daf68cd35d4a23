use super::*;
use crate::{Map, value};
use proptest::prelude::*;

fn labels(pairs: &[(&str, &str)]) -> Map {
    pairs.iter().copied().collect()
}

#[test]
fn label_conditions_hold_or_do_not() {
    let web = labels(&[("app", "web"), ("tier", "front"), ("size", "5")]);
    for (text, expected) in [
        ("", true),
        ("app=web", true),
        ("app==web,tier=front", true),
        ("app=web,tier=back", false),
        ("app!=web", false),
        ("other!=web", true),
        ("app", true),
        ("!app", false),
        ("!other", true),
        ("app in (a, web)", true),
        ("app notin (a,web)", false),
        ("other notin (a)", true),
        ("size>4", true),
        ("size<5", false),
        ("other=", false),
        ("app in (,web)", true),
    ] {
        let selector = LabelSelector::parse(text).unwrap();
        assert_eq!(selector.matches(Some(&web)), expected, "{text}");
        assert_eq!(LabelSelector::parse(&selector.to_string()).unwrap(), selector, "{text}");
    }
}

#[test]
fn malformed_label_selectors_are_refused_with_a_reason() {
    for (text, part) in [
        ("a b", "expected: in, notin, =, ==, !=, gt, lt"),
        ("a,", "expected: identifier after ','"),
        (",a", "expected: !, identifier, or 'end of string'"),
        ("a in b", "found 'b' expected: '('"),
        ("a in (b", "expected: ',', ')' or identifier"),
        ("a=b=c", "expected: ',' or 'end of string'"),
        ("-a=b", "key: Invalid value"),
        ("a=-b", "Invalid value: \"-b\""),
        ("a>b", "the value must be an integer"),
    ] {
        let SelectorError(message) = LabelSelector::parse(text).unwrap_err();
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn selector_objects_match_all_their_parts() {
    let selector = value!({
        "matchLabels": {"app": "web"},
        "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["back"]}],
    });
    let selector = LabelSelector::from_value(Some(&selector));
    assert!(selector.matches(Some(&labels(&[("app", "web"), ("tier", "front")]))));
    assert!(!selector.matches(Some(&labels(&[("app", "web"), ("tier", "back")]))));
    assert!(!LabelSelector::from_value(None).matches(Some(&labels(&[]))));
    assert!(LabelSelector::from_value(Some(&value!({}))).matches(None));
    let odd = value!({"matchExpressions": [{"key": "a", "operator": "Odd"}]});
    assert!(!LabelSelector::from_value(Some(&odd)).matches(None));
}

#[test]
fn field_conditions_hold_or_do_not() {
    let pod = value!({"metadata": {"name": "a,b"}, "spec": {"hostNetwork": true}, "n": 5});
    for (text, expected) in [
        ("", true),
        ("metadata.name=a\\,b", true),
        ("metadata.name!=a\\,b", false),
        ("spec.nodeName=", true),
        ("spec.nodeName!=x", true),
        ("spec.hostNetwork==true,n=5", true),
    ] {
        let selector = FieldSelector::parse(text).unwrap();
        assert_eq!(selector.matches_object(&pod), expected, "{text}");
        assert_eq!(FieldSelector::parse(&selector.to_string()).unwrap(), selector, "{text}");
    }
    assert_eq!(
        FieldSelector::parse("abc").unwrap_err().0,
        "invalid selector: 'abc'; can't understand 'abc'"
    );
    assert!(FieldSelector::parse("a=b=c").is_err());
    assert!(FieldSelector::parse("a=\\x").is_err());
}

proptest! {
    #[test]
    fn any_text_is_a_selector_or_is_refused(text in "[a-z(),=!<> \\\\é-]{0,24}") {
        if let Ok(selector) = LabelSelector::parse(&text) {
            prop_assert_eq!(LabelSelector::parse(&selector.to_string()).unwrap(), selector);
        }
        if let Ok(selector) = FieldSelector::parse(&text) {
            prop_assert_eq!(FieldSelector::parse(&selector.to_string()).unwrap(), selector);
        }
    }
}
