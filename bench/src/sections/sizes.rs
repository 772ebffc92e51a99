//! How the time with nothing to change grows with the number of tasks, by `cm` and by other tools.

use anyhow::{Context as _, Result};

use crate::{
    findings::{Claim, Findings, number},
    ground::{Ground, Site},
    measure::{Cost, run, shown, typical},
    peers::{
        TOOLS, Tool, end_state,
        unchanged::{Unchanged, first_difference, unchanged},
    },
    plot::{Plot, Series},
    role::{Role, Size},
    section::Section,
    table::Table,
};

/// The section.
pub const SECTION: Section = Section {
    name: "sizes",
    title: "More tasks, beside other tools",
    about: "\
Nothing to change on 4 hosts, roles of 20, 100 and 300 tasks (a smaller one is the beginning of a larger one), by every \
tool on the same hosts: `cm` has brought them to the state, and each tool must find nothing to do there, which is proven \
by reading the hosts (no file of the role has another inode or time of change afterwards, and the end state is what it \
was). Each tool has run once before its time is taken; one that touched something is given another run, and has no \
figure where it does so again. `cm` is measured beside each of them, right before; its ratio is to the median of those \
runs.",
    quick: false,
    run: measure,
};

/// Runs of `cm` beside each run of a tool.
const OURS: usize = 5;

/// What one tool did with one size.
struct Cell {
    tool: &'static Tool,
    tasks: usize,
    ours: Cost,
    theirs: Result<Cost, String>,
}

fn measure(ground: &Ground) -> Result<Findings> {
    let sizes: &[Size] = ground.pick(&[Size::Small, Size::Usual, Size::Large], &[Size::Small]);
    let (us, others) = TOOLS.split_first().context("there are tools")?;
    for tool in others {
        ground.say(&format!("installing {}", tool.title));
        tool.install()?;
    }
    let site = ground.fresh(ground.pick(4, 2))?;
    site.fill_apt_caches()?;
    ground.say("installing Python on the hosts");
    site.install_python()?;
    for size in sizes {
        ground.say(&format!("cm: first apply of {} tasks", size.tasks()));
        run(&mut site.cm(&["apply", &Role::sized(*size).name, "on", "all"]), &[0])?;
    }
    let mut cells = Vec::new();
    let mut findings = Findings::default();
    for tool in others {
        for (nth, size) in sizes.iter().enumerate() {
            if tool.name == "ansible" && *size == Size::Large {
                continue;
            }
            let role = Role::sized(*size);
            let ours = ours(ground, &site, us, &role)?;
            let folder = ground.folder(&format!("sizes-{}-{}", tool.name, role.tasks()))?;
            let mut command = tool.prepare(&site, &role, &folder)?;
            ground.say(&format!("{}: {} tasks", tool.title, role.tasks()));
            if nth == 0 {
                run(&mut command, &[0]).with_context(|| tool.title.to_owned())?;
                findings.commands.push(shown(&command));
            }
            let before = end_state::of(&site, &role)?;
            let mut done = unchanged(&site, &role, &mut command, 1)?;
            if done.wrote.is_some() {
                done = unchanged(&site, &role, &mut command, 1)?;
            }
            let differs = first_difference(&site, &end_state::of(&site, &role)?, &before);
            let theirs = match done.wrote.or(differs) {
                Some(differs) => Err(differs),
                None => Ok(typical(&done.costs)),
            };
            cells.push(Cell { tool, tasks: role.tasks(), ours, theirs });
        }
    }
    findings.commands.insert(0, "cm apply tasks20 on all".to_owned());
    tell(&mut findings, us, sizes, &cells);
    Ok(findings)
}

/// `cm` with the same role, right now.
fn ours(ground: &Ground, site: &Site, us: &Tool, role: &Role) -> Result<Cost> {
    let mut command = us.prepare(site, role, &ground.folder("sizes-cm")?)?;
    let Unchanged { costs, wrote } = unchanged(site, role, &mut command, OURS)?;
    anyhow::ensure!(wrote.is_none(), "{}", wrote.unwrap_or_default());
    Ok(typical(&costs))
}

fn tell(findings: &mut Findings, us: &Tool, sizes: &[Size], cells: &[Cell]) {
    let heads: Vec<String> =
        sizes.iter().flat_map(|size| [format!("{} tasks", size.tasks()), "times ours".to_owned()]).collect();
    let heads: Vec<&str> = std::iter::once("tool").chain(heads.iter().map(String::as_str)).collect();
    let mut table = Table::new("Nothing to change: wall time", &heads);
    let wall = |cost: &Cost| cost.wall.as_secs_f64();
    let seconds = |time: f64| format!("{} s", number(time));
    let mut row = vec![us.title.to_owned()];
    let mut lines = Vec::new();
    let mut points = Vec::new();
    for size in sizes {
        let of_size: Vec<Cost> =
            cells.iter().filter(|cell| cell.tasks == size.tasks()).map(|cell| cell.ours).collect();
        let ours = wall(&typical(&of_size));
        points.push((exact(size.tasks()), ours));
        row.extend([seconds(ours), "1".to_owned()]);
    }
    table.row(row);
    lines.push(Series { name: us.title.to_owned(), points });
    let mut tools: Vec<&Tool> = cells.iter().map(|cell| cell.tool).collect();
    tools.dedup_by_key(|tool| tool.name);
    for tool in tools {
        let mut row = vec![tool.title.to_owned()];
        let mut points = Vec::new();
        for size in sizes {
            let cell = cells.iter().find(|cell| cell.tool.name == tool.name && cell.tasks == size.tasks());
            let (time, times) = match cell.map(|cell| (&cell.theirs, wall(&cell.ours))) {
                None => ("–".to_owned(), "–".to_owned()),
                Some((Err(_), _)) => ("refused".to_owned(), "refused".to_owned()),
                Some((Ok(theirs), ours)) => {
                    points.push((exact(size.tasks()), wall(theirs)));
                    (seconds(wall(theirs)), format!("{:.0}", wall(theirs) / ours))
                }
            };
            row.extend([time, times]);
        }
        table.row(row);
        lines.push(Series { name: tool.title.to_owned(), points });
    }
    findings.tables.push(table);
    for size in sizes {
        let text = format!("the best peer's time with nothing to change / ours, {} tasks", size.tasks());
        let ratios = cells
            .iter()
            .filter(|cell| cell.tasks == size.tasks())
            .filter_map(|cell| cell.theirs.as_ref().ok().map(|theirs| wall(theirs) / wall(&cell.ours)));
        findings.claims.push(match ratios.min_by(f64::total_cmp) {
            Some(best) => Claim::at_least(text, best, 10.0, "×"),
            None => Claim::refused(text, 10.0, "×", "no tool left the hosts alone"),
        });
    }
    for cell in cells {
        if let Err(differs) = &cell.theirs {
            findings
                .notes
                .push(format!("{}, {} tasks, has no figure: {differs}.", cell.tool.title, cell.tasks));
        }
    }
    if sizes.contains(&Size::Large) {
        findings.notes.push(
            "Plain ansible with 300 tasks is left out: it takes as long as all others together, and tells nothing that \
             20 and 100 do not."
                .into(),
        );
    }
    if sizes.len() > 1 {
        findings.plots.push(Plot::lines("sizes", "Nothing to change: wall time", "tasks", "s", lines));
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of tasks")]
fn exact(count: usize) -> f64 {
    count as f64
}
