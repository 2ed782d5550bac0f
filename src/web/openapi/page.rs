//! The document as a page for readers. It needs no script and nothing from elsewhere.

use std::fmt::Write as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::web::microversion::Microversion;

const STYLE: &str = "body{font:15px/1.5 sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#222}\
code,pre{font:13px/1.4 monospace}pre{background:#f5f5f5;padding:.7em;overflow:auto;max-height:30em}\
summary{cursor:pointer;padding:.2em 0}summary b{display:inline-block;width:5em}\
table{border-collapse:collapse}td,th{text-align:left;padding:.1em 1em .1em 0;vertical-align:top}\
.later{color:#888}";

/// The `Content-Security-Policy` of the page: nothing but its own style.
pub(super) fn security_policy() -> &'static str {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        let digest = STANDARD.encode(Sha256::digest(STYLE));
        format!(
            "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
    });
    &POLICY
}

/// The page of a document.
pub(super) fn html(version: Microversion, document: &Value) -> String {
    let mut page = Page(String::new());
    page.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    page.text("Pumice Block Storage API");
    page.raw("</title><style>");
    page.raw(STYLE);
    page.raw("</style></head><body>\n<h1>");
    page.text(&format!("Pumice Block Storage API, microversion {version}"));
    page.raw("</h1>\n<p>");
    page.text(document["info"]["description"].as_str().unwrap_or_default());
    page.raw("</p>\n<p>");
    page.text("As JSON: ");
    page.raw("<a href=\"openapi.json?microversion=");
    page.text(&version.to_string());
    page.raw("\">openapi.json</a></p>\n<p class=\"later\">");
    for minor in (0..=Microversion::MAX.0).rev() {
        page.raw(&format!("<a href=\"?microversion=3.{minor}\">3.{minor}</a> "));
    }
    page.raw("</p>\n");
    let mut section = "";
    let paths = document["paths"].as_object().into_iter().flatten();
    for (path, item) in paths {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let Some(tag) = operation["tags"][0].as_str() else {
                continue;
            };
            if tag != section {
                section = tag;
                page.raw("<h2>");
                page.text(section);
                page.raw("</h2>\n");
            }
            page.operation(path, method, &item["parameters"], operation);
        }
    }
    page.raw("<h2>Schemas</h2>\n");
    for (name, schema) in document["components"]["schemas"]
        .as_object()
        .into_iter()
        .flatten()
    {
        page.raw("<details id=\"schema-");
        page.text(name);
        page.raw("\"><summary>");
        page.text(name);
        page.raw("</summary>");
        page.json(schema);
        page.raw("</details>\n");
    }
    page.raw("</body></html>\n");
    page.0
}

struct Page(String);

impl Page {
    /// HTML of this file.
    fn raw(&mut self, html: &str) {
        self.0.push_str(html);
    }

    /// Any text.
    fn text(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
    }

    fn json(&mut self, value: &Value) {
        self.raw("<pre>");
        self.text(&format!("{value:#}"));
        self.raw("</pre>");
    }

    fn cells(&mut self, cells: &[&str]) {
        self.raw("<tr>");
        for cell in cells {
            self.raw("<td>");
            self.text(cell);
            self.raw("</td>");
        }
        self.raw("</tr>");
    }

    fn operation(&mut self, path: &str, method: &str, of_path: &Value, operation: &Value) {
        let is_served = operation["x-served"] != false;
        self.raw(if is_served {
            "<details><summary><b>"
        } else {
            "<details class=\"later\"><summary><b>"
        });
        self.text(&method.to_uppercase());
        self.raw("</b> <code>");
        self.text(path);
        self.raw("</code> ");
        self.text(operation["summary"].as_str().unwrap_or_default());
        if !is_served {
            self.text(" (501)");
        }
        self.raw("</summary><table>");
        for (name, key) in [("policy", "x-policy"), ("since", "x-since")] {
            if let Some(value) = operation[key].as_str() {
                self.cells(&[name, value]);
            }
        }
        for (action, facts) in operation["x-actions"].as_object().into_iter().flatten() {
            let text = |key: &str| facts[key].as_str().unwrap_or_default().to_owned();
            let state = if facts["x-served"] == false { "501" } else { "" };
            self.cells(&[
                action,
                &text("x-policy"),
                &text("x-since"),
                &text("summary"),
                state,
            ]);
        }
        let lists = [of_path, &operation["parameters"]];
        for parameter in lists
            .into_iter()
            .flat_map(|list| list.as_array().into_iter().flatten())
        {
            if let (Some(name), Some(place)) = (parameter["name"].as_str(), parameter["in"].as_str()) {
                let mut schema = String::new();
                let _ = write!(schema, "{}", parameter["schema"]);
                self.cells(&[place, name, &schema]);
            }
        }
        let answers = operation["responses"].as_object().into_iter().flatten();
        let statuses: Vec<&str> = answers.map(|(status, _)| status.as_str()).collect();
        self.cells(&["answers", &statuses.join(", ")]);
        self.raw("</table>");
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        if !body.is_null() {
            self.raw("<p>Body</p>");
            self.json(body);
        }
        for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
            let schema = &answer["content"]["application/json"]["schema"];
            if !schema.is_null() {
                self.raw("<p>Answer ");
                self.text(status);
                self.raw("</p>");
                self.json(schema);
            }
        }
        self.raw("</details>\n");
    }
}
