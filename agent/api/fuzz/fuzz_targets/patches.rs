//! Any document as a patch of each kind on any object.
#![no_main]

use holm_api::apply::{self, Write, fields::Fields};
use holm_api::schema::Schema;
use holm_api::{Gvk, patch, value};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static POD: LazyLock<Option<Schema>> = LazyLock::new(|| Schema::built_in(&Gvk::of("v1", "Pod")));

fuzz_target!(|input: (&[u8], &[u8])| {
    let Some(schema) = &*POD else { return };
    let (Ok(object), Ok(change)) = (value::decode_value(input.0), value::decode_value(input.1))
    else {
        return;
    };
    let _ = patch::json::apply(&mut object.clone(), &change);
    patch::merge::apply(&mut object.clone(), change.clone());
    let _ = patch::strategic::apply(schema.node(), &mut object.clone(), &change);
    let nothing = Fields::default();
    let write = Write {
        node: schema.node(),
        api_version: "v1",
        manager: "fuzz",
        subresource: "",
        now: "2026-01-02T03:04:05Z",
        force: true,
        ignored: &nothing,
    };
    if let Ok(once) = apply::apply(&write, Some(&object), &change) {
        apply::update(&write, Some(&object), &mut once.clone());
    }
});
