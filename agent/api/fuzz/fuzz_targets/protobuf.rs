//! Any bytes as a body of protobuf; what was read must be written and read again.
#![no_main]

use holm_api::{Gvk, protobuf};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let pod = Gvk::of("v1", "Pod");
    let whole = protobuf::envelope(&pod, body);
    for body in [body, &whole] {
        if let Ok(value) = protobuf::decode(body, &pod) {
            if let Ok(again) = protobuf::encode(&value) {
                assert!(protobuf::decode(&again, &pod).is_ok());
            }
        }
    }
});
