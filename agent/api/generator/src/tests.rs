use super::*;
use crate::go_structs::{Structs, find, read_file};

const GO: &str = r#"
type Outer struct {
	// A word.
	// +default="TCP"
	Protocol string `json:"protocol,omitempty" protobuf:"bytes,4,opt,name=protocol"`
	Replicas *int32 `json:"replicas" protobuf:"varint,1,opt,name=replicas"`
	Inner `json:",inline" protobuf:"bytes,2,opt,name=inner"`
	metav1.TypeMeta `json:",inline"`
}

type Inner struct {
	Port int32 `json:"port" protobuf:"varint,3,opt,name=port"`
	hidden string
}
"#;

#[test]
fn struct_tags_tell_names_numbers_and_pointers() {
    let mut structs = Structs::new();
    read_file("p", GO, &mut structs).unwrap();
    let (numbers, protocol) = find(&structs, "p.Outer", "protocol").unwrap();
    assert_eq!(numbers, [4]);
    assert_eq!(protocol.default.as_deref(), Some("\"TCP\""));
    assert!(protocol.omit_empty);
    let (_, replicas) = find(&structs, "p.Outer", "replicas").unwrap();
    assert!(replicas.go_type.starts_with('*') && !replicas.omit_empty);
    assert_eq!(replicas.default, None);
    assert_eq!(find(&structs, "p.Outer", "port").unwrap().0, [2, 3]);
    assert_eq!(find(&structs, "p.Outer", "hidden"), None);
}

/// Where the inputs are at hand (`generator/inputs` names the variables), the committed table must be
/// what they amount to.
#[test]
fn committed_table_is_what_the_inputs_amount_to() {
    let (Some(definitions), Some(go)) =
        (std::env::var_os("HOLM_API_DEFINITIONS"), std::env::var_os("HOLM_API_GO_SOURCES"))
    else {
        eprintln!("skipped: the inputs are not at hand");
        return;
    };
    let table = build(Path::new(&definitions), Path::new(&go)).unwrap();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/schema/table.bin");
    let kept = table::decompress(&std::fs::read(kept).unwrap()).unwrap();
    assert!(table == kept, "run generator/inputs and then the generator");
}

#[test]
fn compressed_table_is_read_back() {
    let table = table::write(&[]).unwrap();
    assert_eq!(table::decompress(&table::compress(&table)).unwrap(), table);
    assert_eq!(table::decompress(b"nonsense"), None);
}
