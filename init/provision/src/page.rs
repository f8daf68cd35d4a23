//! The page for entering a node document by hand: what a request is answered, and
//! when a document was entered.

use crate::code::Code;
use crate::visit::Visit;
use holm_config::parse;

/// Whoever guesses more often than this is guessing: the code changes then.
const MOST_WRONG: u32 = 100;
/// What the form holds at first.
const TEMPLATE: &str = "[node]\nhostname = \"edge-1\"\n\n# [[network.links]]\n# name = \"eth0\"\n\
                        # addresses = [\"192.168.1.10/24\"]\n# gateways = [\"192.168.1.1\"]\n";

const STYLE: &str = "body{font-family:sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}\
textarea{width:100%;height:20rem;font-family:monospace;box-sizing:border-box}\
button{font-size:1rem;padding:.5rem 1rem;margin-top:.5rem}\
.problem{color:#a00;font-family:monospace;white-space:pre-wrap}";

/// What follows from a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The whole response, to be sent before the connection ends.
    pub response: Vec<u8>,
    /// The document that was entered and is right.
    pub document: Option<String>,
    /// Whether somebody has guessed too often: a new code is due.
    pub guessed: bool,
}

/// The page of one node.
#[derive(Debug, Clone)]
pub struct Page {
    hostname: String,
    code: Code,
    wrong: u32,
}

impl Page {
    /// The page of the node called `hostname`, at the address that ends in `code`.
    pub fn new(hostname: &str, code: Code) -> Self {
        Self { hostname: hostname.to_owned(), code, wrong: 0 }
    }

    /// The code.
    pub fn code(&self) -> &Code {
        &self.code
    }

    /// Answers a request.
    pub fn answer(&mut self, visit: &Visit) -> Answer {
        if !self.code.is(visit.path.trim_matches('/')) {
            // Browsers look for an icon by themselves.
            if visit.path.len() > 1 && visit.path != "/favicon.ico" {
                self.wrong += 1;
            }
            let text = "<h1>Not here</h1><p>Scan the code on the node's console, or type the \
                        whole address that stands beside it.</p>";
            let guessed = self.wrong >= MOST_WRONG;
            return Answer {
                response: self.response("404 Not Found", text),
                document: None,
                guessed,
            };
        }
        match visit.method.as_str() {
            "GET" | "HEAD" => self.say("200 OK", &form(TEMPLATE, &[])),
            "POST" => self.enter(visit),
            _ => self.say("405 Method Not Allowed", "<h1>Only GET and POST</h1>"),
        }
    }

    fn enter(&self, visit: &Visit) -> Answer {
        let Some(text) = visit.field("document") else {
            let problem = "the form has no field \"document\" in UTF-8".to_owned();
            return self.say("400 Bad Request", &form(TEMPLATE, &[problem]));
        };
        // Browsers end lines as the mail of old did.
        let text = text.replace("\r\n", "\n");
        if text.trim().is_empty() {
            let problem = "the document is empty; the node would stay as it is".to_owned();
            return self.say("422 Unprocessable Content", &form(TEMPLATE, &[problem]));
        }
        match parse(&text, "holm.toml") {
            Err(problems) => {
                let problems: Vec<_> = problems.iter().take(20).map(ToString::to_string).collect();
                self.say("422 Unprocessable Content", &form(&text, &problems))
            }
            Ok(_) => {
                let said = "<h1>Taken</h1><p>The node starts again with this document. Its console \
                            shows how that goes. A document that costs it its network is undone.</p>";
                Answer { document: Some(text), ..self.say("200 OK", said) }
            }
        }
    }

    fn say(&self, status: &str, body: &str) -> Answer {
        Answer { response: self.response(status, body), document: None, guessed: false }
    }

    /// Nothing is loaded from elsewhere, and nothing is kept.
    fn response(&self, status: &str, body: &str) -> Vec<u8> {
        let name = escape(&self.hostname);
        let html = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <title>{name}</title><style>{STYLE}</style><body>{body}</body></html>\n"
        );
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\n\
             Content-Length: {}\r\nConnection: close\r\nCache-Control: no-store\r\n\
             Referrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n\
             Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; \
             form-action 'self'; frame-ancestors 'none'; base-uri 'none'\r\n\r\n{html}",
            html.len()
        )
        .into_bytes()
    }
}

fn form(text: &str, problems: &[String]) -> String {
    let problems: String =
        problems.iter().map(|line| format!("<p class=\"problem\">{}</p>", escape(line))).collect();
    format!(
        "<h1>Node document</h1><p>What this node is to be, as <code>holm.toml</code>.</p>{problems}\
         <form method=\"post\"><textarea name=\"document\" autofocus spellcheck=\"false\">\n{}\
         </textarea><br><button>Enter</button></form>",
        escape(text)
    )
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        Page::new("holm-1<2", Code::of([0; 10]))
    }

    fn visit(method: &str, path: &str, body: &str) -> Visit {
        Visit { method: method.into(), path: path.into(), body: body.as_bytes().to_vec() }
    }

    fn text(answer: &Answer) -> String {
        String::from_utf8(answer.response.clone()).unwrap()
    }

    #[test]
    fn form_is_for_who_knows_the_code() {
        let mut page = page();
        let shown = text(&page.answer(&visit("GET", "/AAAAAAAAAA", "")));
        assert!(shown.starts_with("HTTP/1.1 200 OK\r\n") && shown.contains("<textarea"), "{shown}");
        assert!(shown.contains("holm-1&lt;2"), "{shown}");
        for path in ["/", "/AAAAAAAAAB", "/AAAAAAAAAA/more", ""] {
            let shown = text(&page.answer(&visit("GET", path, "")));
            assert!(shown.starts_with("HTTP/1.1 404") && !shown.contains("<textarea"), "{shown}");
        }
    }

    #[test]
    fn length_of_the_response_is_its_own() {
        let shown = text(&page().answer(&visit("GET", "/AAAAAAAAAA", "")));
        let (head, body) = shown.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    }

    #[test]
    fn right_document_is_handed_over() {
        let body = "document=%5Bnode%5D%0D%0Ahostname+%3D+%22edge-2%22%0D%0A";
        let answer = page().answer(&visit("POST", "/AAAAAAAAAA", body));
        assert_eq!(answer.document.as_deref(), Some("[node]\nhostname = \"edge-2\"\n"));
        assert_eq!(page().answer(&visit("POST", "/AAAAAAAAAB", body)).document, None);
    }

    #[test]
    fn wrong_document_comes_back_with_its_problems_and_as_text() {
        let body = "document=%5Bnode%5D%0Ahostnme+%3D+%22%3Cb%3E%22";
        let answer = page().answer(&visit("POST", "/AAAAAAAAAA", body));
        let shown = text(&answer);
        assert_eq!(answer.document, None);
        assert!(shown.contains("did you mean &quot;hostname&quot;?"), "{shown}");
        assert!(shown.contains("&quot;&lt;b&gt;&quot;") && !shown.contains("<b>"), "{shown}");
        let empty = page().answer(&visit("POST", "/AAAAAAAAAA", "document=++"));
        assert!(empty.document.is_none() && text(&empty).starts_with("HTTP/1.1 422"));
    }

    #[test]
    fn guessing_changes_the_code() {
        let mut page = page();
        let mut guess = |path: &str| page.answer(&visit("GET", path, "")).guessed;
        for _ in 0..500 {
            assert!(!guess("/") && !guess("/favicon.ico"));
        }
        assert_eq!((0..200).position(|_| guess("/BBBBBBBBBB")), Some(99));
    }
}
