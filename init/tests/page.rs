//! The page for entering a node document, in a real browser: headless Chromium, steered by WebDriver
//! (<https://www.w3.org/TR/webdriver2/>). `ci/setup --browser` installs it.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// WebDriver's name for an element in its answers.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A program that ends with the test.
struct Program(Child);

impl Program {
    /// Starts it, and gives the first line for which `pick` finds something.
    fn start<T>(mut command: Command, pick: impl Fn(&str) -> Option<T>) -> (Self, T) {
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = started.expect("ci/setup --browser installs it");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let found = lines.find_map(|line| pick(&line.unwrap())).expect("it says where it listens");
        // Whoever writes to a closed pipe dies of it.
        std::thread::spawn(move || lines.for_each(drop));
        (Self(child), found)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A browser's session.
struct Browser {
    port: u16,
    session: String,
}

impl Browser {
    fn open(port: u16) -> Self {
        let options =
            ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": options }
        }}});
        let mut browser = Self { port, session: String::new() };
        let answer = browser.call("POST", "/session", &capabilities);
        browser.session = format!("/session/{}", answer["sessionId"].as_str().unwrap());
        browser
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let head = format!(
            "{method} {}{path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            self.session,
            self.port,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        // The driver may keep the line open: what it announced is enough.
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        reader.take(length).read_to_string(&mut answer).unwrap();
        let mut answer: Value = serde_json::from_str(&answer).unwrap();
        let value = answer["value"].take();
        assert!(value.get("error").is_none(), "{method} {path}: {value}");
        value
    }

    fn element(&self, selector: &str) -> String {
        let query = json!({ "using": "css selector", "value": selector });
        let found = self.call("POST", "/element", &query);
        format!("/element/{}", found[ELEMENT].as_str().unwrap())
    }

    fn text(&self, selector: &str) -> String {
        let element = self.element(selector);
        self.call("GET", &format!("{element}/text"), &Value::Null).as_str().unwrap().to_owned()
    }

    /// Enters `document` in place of what stands there, as a person does.
    fn enter(&self, document: &str) {
        let area = self.element("textarea");
        self.call("POST", &format!("{area}/clear"), &json!({}));
        self.call("POST", &format!("{area}/value"), &json!({ "text": document }));
        let button = self.element("button");
        self.call("POST", &format!("{button}/click"), &json!({}));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.call("DELETE", "", &Value::Null);
        }
    }
}

#[test]
#[ignore = "needs Chromium: ci/test --all brings it"]
fn person_enters_a_document_in_a_browser() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_holm-init"));
    command.args(["task", "page"]).arg(folder.path());
    let (mut node, url) =
        Program::start(command, |line| line.starts_with("http://").then(|| line.to_owned()));
    let mut command = Command::new("chromedriver");
    command.arg("--port=0");
    let (_driver, port) = Program::start(command, |line| {
        let (_, port) = line.split_once("started successfully on port ")?;
        port.trim_end_matches('.').parse().ok()
    });
    let browser = Browser::open(port);

    let (address, _) = url.rsplit_once('/').unwrap();
    browser.call("POST", "/url", &json!({ "url": format!("{address}/GUESSEDXXX") }));
    assert_eq!(browser.text("h1"), "Not here");

    browser.call("POST", "/url", &json!({ "url": url }));
    assert_eq!(browser.text("h1"), "Node document");
    browser.enter("[node]\nhostnme = \"<b>edge-9</b>\"\n");
    let problem = browser.text(".problem");
    assert!(problem.contains("did you mean \"hostname\"?"), "{problem}");
    assert!(!folder.path().join("holm.toml").exists());

    // What means something in HTML or in a form arrives as it is.
    let document = "# Größe & <x> + 100%\n[node]\nhostname = \"edge-9\"\n";
    browser.enter(document);
    assert_eq!(browser.text("h1"), "Taken");
    assert!(node.0.wait().unwrap().success());
    let entered = std::fs::read_to_string(folder.path().join("holm.toml")).unwrap();
    assert_eq!(entered, document);
}
