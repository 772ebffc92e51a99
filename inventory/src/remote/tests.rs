use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;

use cm_syntax::{Diagnostics, Sources, Style};

use crate::{Inventory, Reading};

/// Reads an inventory with these sources; gives its hosts with their variables, and what was told.
fn read(root: &Path, sources_of: &str) -> (String, String) {
    std::fs::write(root.join("inventory.yaml"), format!("hosts: {{ own: }}\nsources:\n{sources_of}"))
        .unwrap();
    let (sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let secret = |name: &str| (name == "token").then(|| Ok("s3cret".to_owned()));
    let reading = Reading { root, named: &[], secret: &secret };
    let inventory = Inventory::load_from(&sources, &reading, &mut diagnostics);
    let hosts = inventory.map_or_else(String::new, |inventory| {
        let hosts = inventory.hosts().map(|(id, host)| {
            let variables = inventory.variables(id);
            let shown = variables.iter().map(|(name, variable)| {
                format!("{name}={}", serde_json::to_string(&variable.value).unwrap())
            });
            format!("{} {}", host.name(), shown.collect::<Vec<_>>().join(" ")).trim().to_owned()
        });
        hosts.collect::<Vec<_>>().join(", ")
    });
    let told = diagnostics.render(&sources, Style::plain());
    (hosts, told.replace(&root.display().to_string(), "[repository]"))
}

/// Answers that many requests with one answer each; gives the URL and, at the end, the requests' heads.
fn server(answers: Vec<&'static str>) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hosts.json", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let mut heads = String::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                reader.read_line(&mut head).unwrap();
            }
            heads += &head;
            stream.write_all(answer.as_bytes()).unwrap();
        }
        heads
    });
    (url, served)
}

fn answer(status: &str, body: &str) -> &'static str {
    let text =
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    Box::leak(text.into_boxed_str())
}

#[test]
fn commands_and_http_give_hosts_in_both_formats() {
    let folder = tempfile::tempdir().unwrap();
    let ours = r#"{"hosts": {"w[1:2]": {"vars": {"n_": "{{ n }}", "text": "é \" \\ / \u00e9"}}}, "groups": {"web": {"hosts": ["w1"]}}}"#;
    let (url, served) = server(vec![answer("200 OK", ours)]);
    let text = format!(
        "  - {{ http: \"{url}\", headers: {{ authorization: \"Bearer {{{{ secrets.token }}}}\" }} }}\n  \
         - command: [/bin/echo, '{{\"db\": {{\"hosts\": [\"d1\"], \"vars\": {{\"a\": [1]}}}}, \"_meta\": {{\"hostvars\": {{}}}}}}']\n"
    );
    let (hosts, told) = read(folder.path(), &text);
    assert_eq!(told, "");
    assert_eq!(hosts, r#"own, w1 n_=1 text="é \" \\ / é", w2 n_=2 text="é \" \\ / é", d1 a=[1]"#);
    assert!(served.join().unwrap().contains("authorization: Bearer s3cret\r\n"));
}

#[test]
fn a_copy_is_used_while_it_is_new_and_after_a_failure_where_that_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let body = r#"{"hosts": {"w1": {}}}"#;
    let failure = answer("503 Busy", "");
    let (url, served) = server(vec![answer("200 OK", body), failure, failure]);
    // Within an hour nobody is asked again.
    let cached = format!("  - {{ http: \"{url}\", cache: 1h }}\n");
    assert_eq!(read(folder.path(), &cached), ("own, w1".into(), String::new()));
    assert_eq!(read(folder.path(), &cached), ("own, w1".into(), String::new()));
    let (hosts, told) = read(folder.path(), &format!("  - http: \"{url}\"\n"));
    assert!(told.starts_with("error: ") && told.contains("status 503"), "{told}");
    assert!(told.contains("is kept; `stale: allowed` would use that"), "{told}");
    assert_eq!(hosts, "own");
    let (hosts, told) = read(folder.path(), &format!("  - {{ http: \"{url}\", stale: allowed }}\n"));
    assert!(told.starts_with("warning: hosts of ") && told.contains("status 503"), "{told}");
    assert_eq!(hosts, "own, w1");
    served.join().unwrap();
    let kept = std::fs::read_dir(folder.path().join(".cm/sources")).unwrap().count();
    assert_eq!(kept, 1);
}

#[test]
fn what_is_wrong_with_sources_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"  - { comand: x }
  - { command: x, http: "http://y" }
  - { http: "ftp://y" }
  - { command: "" }
  - { command: x, timeout: soon, stale: yes, format: xml, headers: { a: b } }
  - { http: "http://127.0.0.1:9/", headers: { a: "{{ secrets.no }}" } }
  - { http: "http://127.0.0.1:9/", headers: { a: "{{ env.CM_NO_SUCH_NAME }}", b: [1] } }
  - { command: ./missing.sh }
  - { command: "/bin/sh -c 'echo why >&2; exit 3'" }
  - { command: /bin/echo no }
  - { command: /bin/echo 7 }
  - { command: '/bin/echo "{\"hosts\": {\"x y\": {}}}"' }
"#;
    let (hosts, told) = read(folder.path(), text);
    insta::assert_snapshot!(format!("{hosts}\n{told}"));
}
