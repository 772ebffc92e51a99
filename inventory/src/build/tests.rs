use std::path::Path;
use std::time::Duration;

use cm_syntax::{Diagnostics, Sources, Style};
use proptest::prelude::*;

use crate::{Connection, HostId, HostKeys, Inventory, Origin};

struct Read {
    sources: Sources,
    inventory: Inventory,
    errors: String,
}

fn read_files(files: &[(&str, &str)]) -> Read {
    let sources = Sources::new();
    let files: Vec<_> = files.iter().map(|(name, text)| sources.add(*name, (*text).to_owned())).collect();
    let mut diagnostics = Diagnostics::new();
    let inventory = Inventory::from_files(&sources, &files, &mut diagnostics);
    let errors = diagnostics.render(&sources, Style::plain());
    Read { sources, inventory, errors }
}

fn read(text: &str) -> Read {
    read_files(&[("inventory.yaml", text)])
}

fn good(text: &str) -> Read {
    let read = read(text);
    assert_eq!(read.errors, "");
    read
}

impl Read {
    fn host(&self, name: &str) -> HostId {
        self.inventory.host_id(name).unwrap_or_else(|| panic!("no host {name}"))
    }

    fn names(&self, hosts: impl IntoIterator<Item = HostId>) -> String {
        let names: Vec<&str> = hosts.into_iter().map(|host| self.inventory.host(host).name()).collect();
        names.join(" ")
    }

    /// `name=value (origin; hidden origins)`
    fn variable(&self, host: &str, name: &str) -> String {
        let variables = self.inventory.variables(self.host(host));
        let variable = &variables[name];
        let value = serde_json::to_string(&variable.value).unwrap();
        let show = |origin: &Origin| format!("{} {}", origin.kind, self.sources.place(origin.span));
        let hidden: Vec<String> = variable.overridden.iter().map(show).collect();
        format!("{value} from {} over [{}]", show(&variable.origin), hidden.join(", "))
    }
}

const CONTRACT: &str = r#"
hosts:
  db1:  { address: 10.0.0.21, vars: { rack: a } }
  "web[01:16]": { address: "10.0.1.{{ n }}", vars: { rack: "{{ 'a' if n % 2 else 'b' }}" } }
groups:
  web:
    hosts: ["web[01:16]"]
    roles: [base, web]             # what belongs on this group: used by `cm apply on web`
    vars: { port: 8080 }
  db:  { hosts: [db1], roles: [base, postgres] }
  all_services: { groups: [web, db], order: [db, web] }   # db is finished before web begins
defaults:
  ssh: { user: admin, port: 22, key: ~/.ssh/id_ed25519, jump: bastion.example.org }
  become: true                     # sudo -n; `become_password` comes from secrets or a prompt
"#;

#[test]
fn the_example_of_the_contract() {
    let read = good(CONTRACT);
    let inventory = &read.inventory;
    assert_eq!(inventory.hosts().len(), 17);
    let web3 = read.host("web03");
    assert_eq!(inventory.host(web3).address(), "10.0.1.3");
    assert_eq!(read.variable("web03", "rack"), "\"a\" from host `web03` inventory.yaml:4:54 over []");
    assert_eq!(read.variable("web16", "rack"), "\"b\" from host `web16` inventory.yaml:4:54 over []");
    assert_eq!(read.variable("web16", "port"), "8080 from group `web` inventory.yaml:9:13 over []");
    let groups: Vec<&str> =
        inventory.groups_of(web3).iter().map(|group| inventory.group(*group).name()).collect();
    assert_eq!(groups, ["all", "all_services", "web"]);
    let roles: Vec<&str> = inventory.roles_of(web3).iter().map(|role| role.name.value.as_str()).collect();
    assert_eq!(roles, ["base", "web"]);
    let all: Vec<HostId> = inventory.hosts().map(|(host, _)| host).collect();
    let order = inventory.run_order(&all);
    assert_eq!(order.stages.len(), 2);
    assert_eq!(read.names(order.stages[0].iter().copied()), "db1");
    assert_eq!((order.barriers.len(), order.barriers[0].after.len()), (1, 16));
    let settings = inventory.settings(web3);
    assert_eq!(settings.ssh.user.unwrap().value, "admin");
    assert_eq!(settings.ssh.port.unwrap().value, 22);
    assert_eq!(settings.ssh.keys[0].value, "~/.ssh/id_ed25519");
    assert_eq!(settings.ssh.jump.unwrap()[0].value, "bastion.example.org");
    assert!(settings.become_root.unwrap().value);
}

#[test]
fn inner_groups_win_and_the_host_wins_over_all() {
    let read = good(
        "hosts: { a: { vars: { x: host } }, b: }
groups:
  all: { vars: { x: all, y: all, z: all } }
  outer: { groups: [inner], vars: { x: outer, y: outer } }
  inner: { hosts: [a, b], vars: { x: [inner] } }
",
    );
    insta::assert_snapshot!(
        [
            read.variable("a", "x"),
            read.variable("b", "x"),
            read.variable("b", "y"),
            read.variable("b", "z")
        ]
        .join("\n"),
        @r#"
    "host" from host `a` inventory.yaml:1:23 over [group `inner` inventory.yaml:5:35, group `outer` inventory.yaml:4:37, group `all` inventory.yaml:3:18]
    ["inner"] from group `inner` inventory.yaml:5:35 over [group `outer` inventory.yaml:4:37, group `all` inventory.yaml:3:18]
    "outer" from group `outer` inventory.yaml:4:47 over [group `all` inventory.yaml:3:26]
    "all" from group `all` inventory.yaml:3:34 over []
    "#
    );
}

/// The level is the longest chain: `deep` lies in `b` alone by one way and in `a`, `b` by another.
#[test]
fn the_longest_chain_counts() {
    let read = good(
        "hosts: { h: }
groups:
  a: { groups: [b], vars: { x: a } }
  c: { groups: [deep, a], vars: { x: c } }
  b: { groups: [deep], vars: { x: b } }
  deep: { hosts: [h] }
",
    );
    assert!(read.variable("h", "x").starts_with("\"b\" from"));
    let deep = read.inventory.group_id("deep").unwrap();
    assert_eq!(read.inventory.group(deep).level(), 4);
}

#[test]
fn groups_of_one_level_must_agree() {
    let text = "hosts: { h1: , h2: , h3: { vars: { port: 1 } }, h4: }
groups:
  web: { hosts: [h1, h2, h3, h4], vars: { port: 80, same: [1, {a: b}], who: web }, ssh: { user: web } }
  rack: { hosts: [h1, h2, h3], vars: { port: 8080, same: [1, {a: b}] } }
  other: { hosts: [h4], vars: { who: other }, ssh: { user: other }, roles: [{ role: r, with: { x: 1 } }] }
  more: { hosts: [h4], roles: [{ role: r, with: { x: 2, y: 3 } }] }
  deep: { hosts: [h2], vars: {} }
";
    insta::assert_snapshot!(read(text).errors);
    // A deeper group decides it.
    let decided = text
        .replace("  deep: { hosts: [h2], vars: {} }", "  top: { groups: [web, rack] }\n  deep: {}")
        + "  h1h2: { hosts: [h1, h2], vars: { port: 9 } }\n  l1: { groups: [l2] }\n  l2: { groups: [h1h2] }\n";
    assert!(!read(&decided).errors.contains("`port`"), "{}", read(&decided).errors);
}

#[test]
fn settings_are_overridden_one_by_one() {
    let read = good(
        r#"
hosts:
  "vm[1:2]": { address: 127.0.0.1, ssh: { port: "{{ 2200 + n }}", jump: none }, connection: ssh }
  here: { connection: local, become: false }
  odd: { address: "{{ name }}.example.org", ssh: { attempts: 1, keepalive: 0, config: false, agent: false } }
groups:
  g:
    hosts: ["vm[1:2]", odd]
    ssh: { user: vagrant, key: [a, b], host_keys: accept-new, connect_timeout: 1m30s, known_hosts: kh }
    become_password: "{{ secrets.sudo }}"
defaults:
  ssh: { user: root, jump: "a@one:22, two", port: 22 }
  become: true
"#,
    );
    let settings = |host: &str| read.inventory.settings(read.host(host));
    let vm2 = settings("vm2");
    assert_eq!(vm2.ssh.port.unwrap().value, 2202);
    assert_eq!(vm2.ssh.user.unwrap().value, "vagrant");
    assert_eq!(vm2.ssh.jump.unwrap().len(), 0);
    assert_eq!(vm2.ssh.keys.len(), 2);
    assert_eq!(vm2.ssh.host_keys.unwrap().value, HostKeys::AcceptNew);
    assert_eq!(vm2.ssh.connect_timeout.unwrap().value, Duration::from_secs(90));
    assert_eq!(vm2.become_password.unwrap().value, "{{ secrets.sudo }}");
    let here = settings("here");
    assert_eq!(here.connection, Connection::Local);
    assert!(!here.become_root.unwrap().value);
    let odd = settings("odd");
    assert_eq!(read.inventory.host(read.host("odd")).address(), "odd.example.org");
    let hops: Vec<String> = odd.ssh.jump.unwrap().into_iter().map(|hop| hop.value).collect();
    assert_eq!(hops, ["a@one:22", "two"]);
    assert_eq!(odd.ssh.port.unwrap().value, 22);
    assert_eq!(odd.ssh.keepalive.unwrap().value, Duration::ZERO);
    assert_eq!(odd.ssh.config.unwrap().value, crate::SshConfig::Ignored);
}

#[test]
fn ranges_fill_in_templates_and_keep_types() {
    let read = good(
        r#"
hosts:
  "r[a:b]-[08:10]":
    address: "10.{{ index }}.0.{{ n2 }}"
    vars:
      letter: "{{ n }}"
      number: "{{ n2 + 1 }}"
      text: "{{ part2 }}"
      list: ["{{ n2 % 2 == 0 }}", { deep: "x{{ n2 }}\n" }]
      later: "{{ node.hostname }}-{{ secrets.x }}"
"#,
    );
    let host = read.host("rb-09");
    assert_eq!(read.inventory.host(host).address(), "10.1.0.9");
    let values: Vec<String> = read
        .inventory
        .variables(host)
        .iter()
        .map(|(name, variable)| format!("{name}={}", serde_json::to_string(&variable.value).unwrap()))
        .collect();
    assert_eq!(
        values,
        [
            "later=\"{{ node.hostname }}-{{ secrets.x }}\"",
            "letter=\"b\"",
            "list=[false,{\"deep\":\"x9\\n\"}]",
            "number=10",
            "text=\"09\"",
        ]
    );
}

#[test]
fn roles_of_a_host_with_arguments() {
    let read = good(
        "hosts: { h: }
groups:
  inner: { hosts: [h], roles: [web, { role: base, with: { x: inner } }] }
  outer: { groups: [inner], roles: [{ role: base, with: { x: outer, y: outer } }, last] }
",
    );
    let roles: Vec<String> = read
        .inventory
        .roles_of(read.host("h"))
        .iter()
        .map(|role| {
            let with = role
                .with
                .iter()
                .map(|argument| format!("{}={}", argument.name, argument.value.raw().unwrap()));
            format!(
                "{}({}) {}",
                role.name.value,
                with.collect::<Vec<_>>().join(","),
                read.inventory.group(role.group).name()
            )
        })
        .collect();
    assert_eq!(roles, ["base(x=inner,y=outer) outer", "last() outer", "web() inner"]);
}

#[test]
fn everything_wrong_in_one_file_is_told_at_once() {
    insta::assert_snapshot!(read(include_str!("mistakes.yaml")).errors);
}

/// A template passes the first check; what it gives is checked when it is filled in, and told once, not for every host.
#[test]
fn filled_in_settings_are_checked() {
    insta::assert_snapshot!(
        read(
            r#"
hosts:
  "w[1:3]":
    address: "{{ n / 0 }}"
    ssh: { port: "{{ n + 65535 }}", host_keys: "{{ name }}", user: "{{ nmae }}", attempts: "{{ n }}" }
    vars: { x: "{{ n.y.z }}" }
  one: { address: "10.0.0.{{ n }}" }
"#
        )
        .errors
    );
}

#[test]
fn circles() {
    insta::assert_snapshot!(
        read(
            "hosts: { h: }
groups:
  a: { groups: [b] }
  b: { groups: [c], hosts: [h] }
  c: { groups: [a, c] }
"
        )
        .errors
    );
}

#[test]
fn orders_that_cannot_be_kept() {
    let hosts = "hosts: { d: , w: , p: }\n";
    let circle = read(&format!(
        "{hosts}groups:
  db: {{ hosts: [d] }}
  web: {{ hosts: [w] }}
  one: {{ groups: [db, web], order: [db, web] }}
  two: {{ groups: [web, db], hosts: [p], order: [web, p, db] }}
"
    ));
    let overlap = read(&format!(
        "{hosts}groups:
  db: {{ hosts: [d, w] }}
  web: {{ hosts: [w] }}
  one: {{ groups: [db, web], order: [db, web] }}
"
    ));
    insta::assert_snapshot!([circle.errors, overlap.errors].join("=====\n"));
}

#[test]
fn a_step_without_hosts_is_passed_over() {
    let read = good(
        "hosts: { d: , w: , p: , x: }
groups:
  db: { hosts: [d] }
  web: { hosts: [w] }
  all: { order: [db, web, p] }
",
    );
    let [d, w, p, x] = ["d", "w", "p", "x"].map(|name| read.host(name));
    assert_eq!(read.inventory.run_order(&[p, x, d]).stages, [vec![d, x], vec![p]]);
    assert_eq!(read.inventory.run_order(&[p, w, d]).stages, [vec![d], vec![w], vec![p]]);
    assert!(read.inventory.run_order(&[p, x]).barriers.is_empty());
    assert!(read.inventory.run_order(&[]).stages.is_empty());
}

#[test]
fn files_of_a_folder_are_merged() {
    let one = "hosts: { a: , b: }\ngroups:\n  web: { hosts: [a], vars: { x: 1, y: 1 }, roles: [base] }\n";
    let two =
        "hosts: { c: , a: }\ngroups:\n  web: { hosts: [c], vars: { x: 1, y: 2 }, roles: [base, web] }\n";
    let read = read_files(&[("inventory/a.yaml", one), ("inventory/b.yaml", two)]);
    let web = read.inventory.group_id("web").unwrap();
    assert_eq!(read.names(read.inventory.hosts_of(web)), "a c");
    assert_eq!(read.inventory.group(web).roles().len(), 2);
    insta::assert_snapshot!(read.errors);
}

#[test]
fn a_host_may_share_its_name_with_the_group_it_is_all_of() {
    good("hosts: { db: }\ngroups: { db: { hosts: [db] } }\n");
    let errors = read("hosts: { db: , x: , all: }\ngroups: { db: { hosts: [db, x] } }\n").errors;
    assert!(errors.contains("`db` is both a host and a group"), "{errors}");
    assert!(errors.contains("every inventory has a group of this name"), "{errors}");
}

#[test]
fn an_empty_inventory_is_fine_to_read() {
    for text in ["", "hosts:\n", "hosts: {}\ngroups:\n  web:\n"] {
        let read = good(text);
        assert_eq!(read.inventory.hosts().len(), 0);
    }
}

#[test]
fn files_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let load = || {
        let sources = Sources::new();
        let mut diagnostics = Diagnostics::new();
        let inventory = Inventory::load(&sources, folder.path(), &mut diagnostics);
        let shown = diagnostics.render(&sources, Style::plain());
        let hosts = inventory
            .map(|inventory| inventory.hosts().map(|(_, host)| host.name().to_owned()).collect::<Vec<_>>());
        (hosts, shown.replace(&folder.path().display().to_string(), "[repository]"))
    };
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(Path::new(name)), text).unwrap();
    let mut shown = vec![load().1];
    write("hosts.ini", "");
    shown.push(load().1);
    std::fs::create_dir(folder.path().join("inventory")).unwrap();
    shown.push(load().1);
    write("inventory/b.yaml", "hosts: { b: }");
    write("inventory/a.yaml", "hosts: { z: }");
    write("inventory/c.yml", "hosts: { c: }");
    write("inventory/.hidden.yaml", "hosts: [");
    let (hosts, warning) = load();
    assert_eq!(hosts.unwrap(), ["z", "b", "c"]);
    shown.push(warning);
    write("inventory.yaml", "hosts: { x: }");
    shown.push(load().1);
    insta::assert_snapshot!(shown.join("=====\n"));
}

#[test]
fn thousands_of_hosts_load_quickly_enough_to_not_notice() {
    let (text, hosts) = large();
    let start = std::time::Instant::now();
    let read = good(&text);
    assert_eq!(read.inventory.hosts().len(), hosts);
    // About 60 ms in a release build. The limit is for debug builds on a busy machine; quadratic code takes far longer.
    let took = start.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// 5,000 hosts written one by one, 200 groups in two levels.
fn large() -> (String, usize) {
    let mut text = "hosts:\n".to_owned();
    for host in 0..5000 {
        text += &format!(
            "  host{host:04}: {{ address: 10.0.{}.{}, vars: {{ rack: r{}, id: {host} }} }}\n",
            host / 250,
            host % 250,
            host % 40
        );
    }
    text += "groups:\n";
    for group in 0..190 {
        text += &format!("  group{group}:\n    vars: {{ a{group}: 1, b{group}: x }}\n    hosts: [");
        text +=
            &(0..100).map(|at| format!("host{:04}", (group * 26 + at) % 5000)).collect::<Vec<_>>().join(", ");
        text += "]\n";
    }
    for outer in 0..10 {
        let groups: Vec<String> = (0..19).map(|at| format!("group{}", outer * 19 + at)).collect();
        text += &format!("  outer{outer}: {{ groups: [{}], vars: {{ o{outer}: 1 }} }}\n", groups.join(", "));
    }
    (text, 5000)
}

/// Pieces of inventories, to be put together in ways nobody would.
const PIECES: [&str; 24] = [
    "hosts:\n",
    "groups:\n",
    "defaults:\n",
    "  h1: { address: 1.1.1.1 }\n",
    "  \"w[1:3]\": { vars: { x: \"{{ n }}\" } }\n",
    "  \"w[a:b]-[01:2]\": { address: \"{{ part2 }}\" }\n",
    "  web: { hosts: [h1, \"w[1:2]\"], groups: [db] }\n",
    "  db: { groups: [web], order: [web, h1] }\n",
    "  db: { hosts: [\"w*\"], roles: [a, { role: a, with: { x: 1 } }] }\n",
    "  all: { order: [db, web, h1], vars: { x: 1 } }\n",
    "  ssh: { user: u, port: \"{{ n }}\", jump: [a, b] }\n",
    "  become: yes\n",
    "  <<: *a\n",
    "  h2: &a { ssh: { port: 1 } }\n",
    "  h2: *a\n",
    "  web: { hosts: h1, where: x }\n",
    "  h1: { vars: { x: [1, 2 }\n",
    "  \"[1:2\": {}\n",
    "  h3: { address: \"{{ n\" }\n",
    "  h4: { address: \"{{ 1 / 0 }}\", vars: { a: \"{{ n.x.y }}\" } }\n",
    "  - x\n",
    "\t\n",
    "---\n",
    "  all: { hosts: [all], groups: [all] }\n",
];

proptest! {
    #[test]
    fn no_inventory_panics(pieces in prop::collection::vec(0..PIECES.len(), 0..14)) {
        let read = read(&pieces.iter().map(|piece| PIECES[*piece]).collect::<String>());
        for (host, _) in read.inventory.hosts() {
            read.inventory.variables(host);
            read.inventory.settings(host);
            read.inventory.roles_of(host);
        }
        let all: Vec<HostId> = read.inventory.hosts().map(|(host, _)| host).collect();
        let stages = read.inventory.run_order(&all).stages;
        prop_assert_eq!(stages.iter().map(Vec::len).sum::<usize>(), all.len());
    }

    /// One variable in random groups of random shape, against the rule written down as plainly as possible.
    #[test]
    fn precedence_is_the_rule(
        // For each group, which later groups it holds, whether it holds the host, and what it sets.
        shape in prop::collection::vec((prop::collection::btree_set(1usize..7, 0..3), prop::bool::weighted(0.4), prop::option::of(0u8..2)), 7),
        own in prop::option::weighted(0.2, Just(9u8)),
    ) {
        let holds = |group: usize| -> Vec<usize> {
            shape[group].0.iter().map(|step| group + step).filter(|inner| *inner < shape.len()).collect()
        };
        let mut text = "hosts: { h: { vars: {".to_owned();
        text += &own.map(|value| format!(" v: {value} ")).unwrap_or_default();
        text += "} } }\ngroups:\n";
        for (group, (_, host, value)) in shape.iter().enumerate() {
            let inner: Vec<String> = holds(group).iter().map(|inner| format!("g{inner}")).collect();
            let hosts = if *host { "h" } else { "" };
            let vars = value.map(|value| format!("v: {value}")).unwrap_or_default();
            text += &format!("  g{group}: {{ groups: [{}], hosts: [{hosts}], vars: {{ {vars} }} }}\n", inner.join(", "));
        }
        // Groups hold later ones only, so one pass is enough for either.
        let mut level = vec![1; shape.len()];
        for group in 0..shape.len() {
            for inner in holds(group) {
                level[inner] = level[inner].max(level[group] + 1);
            }
        }
        let mut member: Vec<bool> = shape.iter().map(|(_, host, _)| *host).collect();
        for group in (0..shape.len()).rev() {
            member[group] |= holds(group).into_iter().any(|inner| member[inner]);
        }
        let setters: Vec<usize> = (0..shape.len()).filter(|group| member[*group] && shape[*group].2.is_some()).collect();
        let innermost = setters.iter().map(|group| level[*group]).max();
        let values: std::collections::BTreeSet<u8> =
            setters.iter().filter(|group| Some(level[**group]) == innermost).filter_map(|group| shape[*group].2).collect();

        let read = read(&text);
        prop_assert_eq!(!read.errors.is_empty(), own.is_none() && values.len() > 1, "{}\n{}", text, read.errors);
        let variables = read.inventory.variables(read.host("h"));
        let found = variables.get("v").map(|variable| variable.value.as_int().unwrap() as u8);
        match own {
            Some(own) => prop_assert_eq!(found, Some(own)),
            None if values.len() < 2 => prop_assert_eq!(found, values.first().copied(), "{}", text),
            None => {}
        }
    }

    /// Whatever the orders, nobody begins before those it must wait for.
    #[test]
    fn stages_keep_every_order(
        orders in prop::collection::vec(prop::collection::btree_set(0usize..8, 2..5), 0..4),
        run in prop::collection::btree_set(0usize..8, 0..8),
    ) {
        let mut text = "hosts: { \"h[0:7]\": }\ngroups:\n  all: {}\n".to_owned();
        for (group, hosts) in orders.iter().enumerate() {
            // Ascending, so that no two orders contradict each other.
            let hosts = hosts.iter().map(|host| format!("h{host}")).collect::<Vec<_>>().join(", ");
            text += &format!("  g{group}: {{ hosts: [{hosts}], order: [{hosts}] }}\n");
        }
        let read = good(&text);
        let hosts: Vec<HostId> = run.iter().map(|host| read.host(&format!("h{host}"))).collect();
        let order = read.inventory.run_order(&hosts);
        let stage = |host: usize| order.stages.iter().position(|stage| stage.contains(&read.host(&format!("h{host}"))));
        for host in &run {
            prop_assert!(stage(*host).is_some());
        }
        for hosts in &orders {
            let hosts: Vec<usize> = hosts.iter().copied().filter(|host| run.contains(host)).collect();
            prop_assert!(hosts.windows(2).all(|pair| stage(pair[0]) < stage(pair[1])), "{:?}", order.stages);
        }
    }
}
