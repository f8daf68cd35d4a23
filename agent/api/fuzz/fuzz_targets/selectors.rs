//! Any text as a selector, a quantity, a time, a path or a query.
#![no_main]

use holm_api::options::{DeleteOptions, ListOptions, WriteOptions};
use holm_api::quantity::Quantity;
use holm_api::selector::{FieldSelector, LabelSelector};
use holm_api::tables::JsonPath;
use holm_api::{Value, time};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(selector) = LabelSelector::parse(text) {
        assert_eq!(LabelSelector::parse(&selector.to_string()), Ok(selector));
    }
    if let Ok(selector) = FieldSelector::parse(text) {
        assert_eq!(FieldSelector::parse(&selector.to_string()), Ok(selector));
    }
    if let Ok(quantity) = text.parse::<Quantity>() {
        assert_eq!(quantity.to_string().parse::<Quantity>(), Ok(quantity));
    }
    if let Ok(path) = text.parse::<JsonPath>() {
        path.find(&Value::object());
    }
    time::parse(text);
    let query = || text.split('&').filter_map(|pair| pair.split_once('='));
    let _ = ListOptions::from_query(query());
    let _ = WriteOptions::from_query(query());
    let _ = DeleteOptions::from_query(query());
});
