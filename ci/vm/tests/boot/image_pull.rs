//! Images come from a registry over HTTP: by tag and by digest, cut off and resumed, refused when
//! they are not what their digest says, and used on when the registry is gone.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holm_vm::scenario::{Scenario, ScenarioError, static_busybox};
use holm_vm::shell::Shell;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

const WAIT: Duration = Duration::from_secs(90);
/// Prints what the image's layers and configuration came to; every line is `name=value`.
const SCRIPT: &str = "echo id=$(id -u):$(id -g) cwd=$PWD env=$FROM_IMAGE; \
    test -e /etc/gone && echo gone=there || echo gone=gone; \
    echo links=$(stat -c %h:%u:%g:%a /data/a); test /data/a -ef /data/b && echo same=yes; \
    echo cap=$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status); echo done; sleep 1000000";

/// What a registry has, and how it behaves.
#[derive(Default)]
struct Contents {
    /// By path below `/v2/`: media type and bytes.
    documents: BTreeMap<String, (String, Vec<u8>)>,
    /// Blobs of which the first answer breaks off in the middle.
    cut_once: Vec<String>,
    /// Blobs that come with a wrong byte.
    damaged: Vec<String>,
    /// Connections are closed without an answer.
    gone: bool,
    /// Paths asked for, with the range where one was wanted.
    asked: Vec<(String, Option<u64>)>,
}

#[derive(Clone)]
struct Registry {
    contents: Arc<Mutex<Contents>>,
    port: u16,
}

impl Registry {
    fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let registry = Self { contents: Arc::default(), port };
        let served = registry.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = served.clone();
                // A connection that breaks is the agent's to judge.
                std::thread::spawn(move || drop(served.answer(stream)));
            }
        });
        Ok(registry)
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As the node sees it: QEMU's user network has the host there.
    fn name(&self) -> String {
        format!("10.0.2.2:{}", self.port)
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let (mut line, mut offset) = (String::new(), None);
        let mut reader = BufReader::new(stream.try_clone()?);
        reader.by_ref().take(8).read_to_string(&mut line)?;
        if !line.starts_with("GET /v2/") {
            // TLS, mostly: the node asks for that first.
            return Ok(());
        }
        line.clear();
        reader.read_line(&mut line)?;
        let path = line.split([' ', '?']).next().unwrap_or_default().to_owned();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(range) = header.strip_prefix("range: bytes=") {
                offset = range.split('-').next().and_then(|first| first.parse::<u64>().ok());
            }
        }
        let mut contents = self.contents();
        contents.asked.push((path.clone(), offset));
        if contents.gone {
            return Ok(());
        }
        let Some((media_type, mut body)) = contents.documents.get(&path).cloned() else {
            let head = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            return stream.write_all(head.as_bytes());
        };
        if contents.damaged.contains(&path) {
            let middle = body.len() / 2;
            body[middle] ^= 1;
        }
        let cut = contents.cut_once.iter().position(|other| *other == path);
        if let Some(index) = cut {
            contents.cut_once.remove(index);
        }
        drop(contents);
        let first = offset.unwrap_or(0) as usize;
        let status = match offset {
            Some(_) => format!(
                "206 Partial Content\r\nContent-Range: bytes {first}-{}/{}",
                body.len() - 1,
                body.len()
            ),
            None => "200 OK".to_owned(),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            body.len() - first
        );
        stream.write_all(head.as_bytes())?;
        let last = if cut.is_some() { body.len() / 2 } else { body.len() };
        stream.write_all(&body[first..last])
    }

    /// Puts an image there, and returns the digest of its manifest and the path of its first layer.
    fn push(
        &self,
        scenario: &Scenario,
        name: &str,
        layers: &[Vec<u8>],
    ) -> Result<(String, String), ScenarioError> {
        let mut descriptors = Vec::new();
        let mut first = None;
        for (index, layer) in layers.iter().enumerate() {
            let (tool, suffix) = if index == 0 { ("gzip", "gzip") } else { ("zstd", "zstd") };
            let packed = compressed(scenario, tool, layer)?;
            let (path, descriptor) = self.blob(name, packed, &format!("layer.v1.tar+{suffix}"));
            first.get_or_insert(path);
            descriptors.push(descriptor);
        }
        let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Cmd": ["sh", "-c", SCRIPT],
                "Env": ["PATH=/bin", "FROM_IMAGE=yes"],
                "User": "1000:1001",
                "WorkingDir": "/data",
            },
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let (_, config) = self.blob(name, config.to_string().into_bytes(), "config.v1+json");
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config,
                              "layers": descriptors});
        let manifest = manifest.to_string().into_bytes();
        let found = digest(&manifest);
        for key in ["1", &found] {
            let path = format!("{name}/manifests/{key}");
            let document = (media_type.to_owned(), manifest.clone());
            self.contents().documents.insert(path, document);
        }
        Ok((found, first.unwrap_or_default()))
    }

    fn blob(&self, name: &str, bytes: Vec<u8>, kind: &str) -> (String, Value) {
        let found = digest(&bytes);
        let media_type = format!("application/vnd.oci.image.{kind}");
        let descriptor = json!({"mediaType": media_type, "digest": found, "size": bytes.len()});
        let path = format!("{name}/blobs/{found}");
        self.contents().documents.insert(path.clone(), (media_type, bytes));
        (path, descriptor)
    }

    fn blobs_asked(&self) -> usize {
        self.contents().asked.iter().filter(|(path, _)| path.contains("/blobs/")).count()
    }
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn compressed(scenario: &Scenario, tool: &str, bytes: &[u8]) -> Result<Vec<u8>, ScenarioError> {
    let file = scenario.write_file("layer.tar", bytes)?;
    let run = Command::new(tool).arg("-c").arg(&file).output();
    let output = run.map_err(|source| ScenarioError::File { what: "compress", path: file, source });
    Ok(output?.stdout)
}

fn header(kind: EntryType, mode: u32, size: usize) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_uid(7);
    header.set_gid(8);
    header.set_mtime(0);
    header
}

/// A busybox with a capability of its own, and a file that the layer above removes.
fn base(busybox: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for folder in ["bin/", "etc/"] {
        tar.append_data(&mut header(EntryType::Directory, 0o755, 0), folder, &[][..])?;
    }
    // CAP_NET_BIND_SERVICE, effective: struct vfs_cap_data of revision 2.
    let mut capability = [0; 20];
    capability[..6].copy_from_slice(&[1, 0, 0, 2, 0, 4]);
    tar.append_pax_extensions([("SCHILY.xattr.security.capability", &capability[..])])?;
    let mut file = header(EntryType::Regular, 0o755, busybox.len());
    tar.append_data(&mut file, "bin/busybox", busybox)?;
    for applet in ["sh", "id", "sed", "sleep", "stat", "test"] {
        let mut link = header(EntryType::Symlink, 0o777, 0);
        tar.append_link(&mut link, format!("bin/{applet}"), "busybox")?;
    }
    tar.append_data(&mut header(EntryType::Regular, 0o644, 4), "etc/gone", &b"gone"[..])?;
    tar.into_inner()
}

fn upper(content: &str) -> std::io::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    tar.append_data(&mut header(EntryType::Regular, 0o644, 0), "etc/.wh.gone", &[][..])?;
    tar.append_data(&mut header(EntryType::Directory, 0o755, 0), "data/", &[][..])?;
    let mut file = header(EntryType::Regular, 0o640, content.len());
    tar.append_data(&mut file, "data/a", content.as_bytes())?;
    tar.append_link(&mut header(EntryType::Link, 0o640, 0), "data/b", "data/a")?;
    tar.into_inner()
}

fn pod(name: &str, image: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  \
         terminationGracePeriodSeconds: 0\n  containers:\n    \
         - {{name: main, image: '{image}', imagePullPolicy: IfNotPresent}}\n"
    )
}

/// The state of the pod's container once `accept` takes it.
fn state(
    shell: &mut Shell,
    pod: &str,
    accept: impl Fn(&Value) -> bool,
) -> Result<Value, ScenarioError> {
    let find = |text: &str| -> Option<Value> {
        let list: Value = serde_json::from_str(text).ok()?;
        let items = list["items"].as_array()?;
        let found = items.iter().find(|item| item["metadata"]["name"] == format!("{pod}-edge-1"));
        found.map(|item| item["status"]["containerStatuses"][0].clone())
    };
    let list = "chroot /host /usr/bin/holm pods --json";
    let found =
        shell.wait_until(list, WAIT, |list| find(&list.text).is_some_and(|s| accept(&s)))?;
    Ok(find(&found.text).unwrap_or_default())
}

fn is_ready(state: &Value) -> bool {
    state["ready"] == true
}

fn waits_with(reason: &str) -> impl Fn(&Value) -> bool {
    move |state| state["state"]["waiting"]["reason"] == reason
}

#[test]
fn images_are_pulled_checked_resumed_and_kept() -> Result<(), ScenarioError> {
    let scenario = Scenario::with_shell("pull")?;
    let failed = |source| ScenarioError::File { what: "make", path: "a layer".into(), source };
    let registry = Registry::start().map_err(failed)?;
    let host = registry.name();
    scenario.write_document(&format!(
        "[node]\nhostname = \"edge-1\"\n[pods]\nmanifests = [\"manifests\", \"/data/manifests\"]\n\
         [registries.\"{host}\"]\ninsecure = true\n"
    ))?;
    let mut busybox = static_busybox()?;
    let layers = vec![base(&busybox).map_err(failed)?, upper("a").map_err(failed)?];
    let (by_digest, _) = registry.push(&scenario, "app", &layers)?;
    // Other bytes, so that nothing of the first image serves for these.
    busybox.push(0);
    let layers = vec![base(&busybox).map_err(failed)?, upper("b").map_err(failed)?];
    let (_, cut) = registry.push(&scenario, "cut", &layers)?;
    registry.contents().cut_once.push(cut.clone());
    busybox.push(0);
    let layers = vec![base(&busybox).map_err(failed)?, upper("c").map_err(failed)?];
    let (_, damaged) = registry.push(&scenario, "damaged", &layers)?;
    registry.contents().damaged.push(damaged.clone());
    scenario.add_manifest("app", &pod("app", &format!("{host}/app:1")))?;
    scenario.add_manifest("cut", &pod("cut", &format!("{host}/cut:1")))?;
    scenario.add_manifest("damaged", &pod("damaged", &format!("{host}/damaged:1")))?;
    scenario.add_manifest("absent", &pod("absent", &format!("{host}/absent:1")))?;
    let (_vm, mut shell) = scenario.boot_with_shell()?;

    // By tag: gzip, zstd, whiteout, hard link, owner, xattr, and the configuration's words.
    let app = state(&mut shell, "app", is_ready)?;
    assert_eq!(app["imageID"], json!(by_digest), "{app}");
    let log = "chroot /host /usr/bin/holm logs app-edge-1";
    let log = shell.wait_until(log, WAIT, |log| log.text.ends_with("done"))?.text;
    let expected = "id=1000:1001 cwd=/data env=yes\ngone=gone\nlinks=2:7:8:640\nsame=yes\n\
                    cap=0000000000000400\ndone";
    assert_eq!(log, expected);

    // A transfer that breaks off goes on where it was.
    state(&mut shell, "cut", is_ready)?;
    let resumed = registry
        .contents()
        .asked
        .iter()
        .any(|(path, offset)| *path == cut && offset.is_some_and(|offset| offset > 100_000));
    assert!(resumed, "the layer was fetched anew: {:?}", registry.contents().asked);

    // Not what it should be: refused with both digests, asked for again later, never started.
    let waiting = state(&mut shell, "damaged", |state| {
        let message = state["state"]["waiting"]["message"].as_str().unwrap_or_default();
        message.contains("digest") || message.contains("unpack")
    })?;
    println!("damaged layer: {waiting}");
    state(&mut shell, "damaged", waits_with("ImagePullBackOff"))?;
    let absent = state(&mut shell, "absent", waits_with("ImagePullBackOff"))?;
    assert!(absent["state"]["waiting"]["message"].as_str().is_some_and(|m| m.contains("404")));
    registry.contents().damaged.clear();
    state(&mut shell, "damaged", is_ready)?;

    // By digest: nothing is fetched twice.
    let blobs = registry.blobs_asked();
    let add = |shell: &mut Shell, name: &str, image: String| {
        let text = pod(name, &image);
        shell.succeed(&format!(
            "mkdir -p /host/data/manifests && cat >/host/data/manifests/{name}.yaml <<'END'\n\
             {text}\nEND"
        ))
    };
    add(&mut shell, "exact", format!("{host}/app@{by_digest}"))?;
    let exact = state(&mut shell, "exact", is_ready)?;
    assert_eq!(exact["imageID"], json!(by_digest));
    assert_eq!(registry.blobs_asked(), blobs, "layers were fetched again");

    // Without the registry, what is here runs on and starts again.
    registry.contents().gone = true;
    let pulls = registry.contents().asked.len();
    let id = app["containerID"].as_str().and_then(|id| id.strip_prefix("holm://")).unwrap_or("");
    shell.succeed(&format!(
        "kill -9 $(sed -n 's/.*\"pid\": *\\([0-9]*\\).*/\\1/p' /host/run/holm/shims/{id}/state.json)"
    ))?;
    let again = state(&mut shell, "app", |state| {
        is_ready(state) && state["restartCount"].as_u64() > Some(0)
    })?;
    assert_eq!(again["imageID"], json!(by_digest));
    add(&mut shell, "late", format!("{host}/app:1"))?;
    state(&mut shell, "late", is_ready)?;
    let asked: Vec<_> = registry.contents().asked[pulls..].to_vec();
    assert!(asked.iter().all(|(path, _)| path.starts_with("absent/")), "{asked:?}");
    Ok(())
}
