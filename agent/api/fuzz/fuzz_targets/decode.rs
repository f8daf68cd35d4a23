//! Any text as a document of any kind: read, given defaults, checked, shown.
#![no_main]

use holm_api::resource::Registry;
use holm_api::{decode, defaults, tables, validate};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::built_in);

fuzz_target!(|input: (u8, &[u8])| {
    let (which, text) = input;
    let count = REGISTRY.iter().count();
    let Some(resource) = REGISTRY.iter().nth(usize::from(which) % count) else { return };
    let Ok(read) = decode::read(resource.schema.node(), text) else { return };
    let mut object = read.value;
    defaults::set(resource, &mut object);
    validate::create(resource, &object);
    tables::cells(&tables::columns(resource), &object, Default::default());
    if let Ok(again) = decode::read(resource.schema.node(), &object.to_json()) {
        assert!(again.noticed.is_empty(), "{:?}", again.noticed);
    }
});
