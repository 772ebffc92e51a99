//! No module without cases, no parameter without damage.

use cm_modules::registry::MODULES;

use crate::cases::{CUSTOM, MISSING, all};

#[test]
fn every_module_has_cases() {
    let cases = all();
    let has = |name: &str| cases.iter().any(|cases| cases.module == name && !cases.cases.is_empty());
    let without: Vec<&str> = MODULES
        .iter()
        .map(|module| module.schema.name)
        .filter(|name| !has(name) && !MISSING.contains(name))
        .collect();
    assert!(
        without.is_empty(),
        "modules without cases: {without:?}; write modules/tests/harness/cases/NAME.rs (see case.rs)"
    );
    let late: Vec<&&str> = MISSING.iter().filter(|name| has(name)).collect();
    assert!(late.is_empty(), "these have cases now, take them out of `MISSING`: {late:?}");
    for cases in &cases {
        assert!(
            cases.module == CUSTOM || MODULES.iter().any(|module| module.schema.name == cases.module),
            "there is no module `{}`",
            cases.module
        );
    }
}

#[test]
fn every_parameter_has_a_drift_or_a_reason() {
    let mut missing = Vec::new();
    for cases in all() {
        let Some(module) = MODULES.iter().find(|module| module.schema.name == cases.module) else { continue };
        let schema = module.schema;
        let drifts = || cases.cases.iter().flat_map(|case| &case.drifts).flat_map(|drift| &drift.params);
        for param in schema.params {
            let name = param.name;
            let excused = cases.without_drift.iter().any(|(param, _)| *param == name);
            if !excused && !drifts().any(|param| *param == name) {
                missing.push(format!("{}: no drift of `{name}` and no reason for that", cases.module));
            }
            if !excused && !cases.cases.iter().any(|case| case.params.contains_key(name)) {
                missing.push(format!("{}: no case gives `{name}`", cases.module));
            }
        }
        let known = |name: &str| schema.params.iter().any(|param| param.name == name);
        let named = drifts().copied().chain(cases.without_drift.iter().map(|(param, _)| *param));
        missing.extend(
            named.filter(|name| !known(name)).map(|name| format!("{}: no parameter `{name}`", cases.module)),
        );
        let mut names: Vec<&str> = cases.cases.iter().map(|case| case.name).collect();
        names.sort_unstable();
        missing.extend(
            names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| format!("two cases `{}`", pair[0])),
        );
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
