//! What naga says of functions of the user's, before a device sees them.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use naga::proc::Layouter;
use naga::valid::{Capabilities, ValidationFlags, Validator};

use super::{KERNEL, LABEL, OwnExamples, RANDOM, VALUES, sized, source};
use crate::error::{Error, Result};
use crate::kernels::{Axis, PRECISE_SIN, RNG, RUN_STEP};
use crate::model::{Loss, Model};
use crate::tasks::TaskFunctions;

/// Bytes that WGSL grants the variables of a function, and those outside.
const MOST_BYTES: u64 = 8192;

/// What the texts here need of the user's.
const LEAST: &str = "struct Task { n: u32 }\n\
    fn draw_task(random: ptr<function, Random>) -> Task { return Task(below(random, 2u)); }\n\
    fn draw_example(task: Task, random: ptr<function, Random>, x: ptr<function, array<f32, INPUTS>>) -> u32 {\n\
    (*x)[0] = uniform(random) + normal(random); return task.n + example_number(random); }\n";

/// How `draw_task` is declared.
const TASK: &str = "fn draw_task(random: ptr<function, Random>) -> Task";

/// How `draw_example` is declared for a network with this loss.
fn example(loss: Loss) -> &'static str {
    match loss {
        Loss::Mse => {
            "fn draw_example(task: Task, random: ptr<function, Random>, x: ptr<function, array<f32, INPUTS>>, \
             y: ptr<function, array<f32, OUTPUTS>>)"
        }
        Loss::CrossEntropy => {
            "fn draw_example(task: Task, random: ptr<function, Random>, x: ptr<function, array<f32, INPUTS>>) -> u32"
        }
    }
}

/// Checks that `own` declares what is needed for `model`.
///
/// # Errors
/// [`Error::Config`] that names the file, its line and what is wrong there, or the declaration that is missing.
pub(super) fn text(own: &TaskFunctions, model: &Model) -> Result<()> {
    let wrong = |message: String| Err(Error::config(own.name(), message));
    let axis = Axis { runs: 1, per_run: 1 };
    let whole = sized(source(own, OwnExamples::of(model)), axis, [1, 1], 8).text(false);
    let own_bytes = own.text().len();
    // By itself, with what it may use.
    let header = format!(
        "const INPUTS = {}u;\nconst OUTPUTS = {}u;\n{RNG}\n{PRECISE_SIN}\n{RANDOM}",
        model.inputs(),
        own.classes().unwrap_or(model.outputs())
    );
    let text = format!("{}\n{header}", own.text());
    let module = match naga::front::wgsl::parse_str(&text) {
        Ok(module) => module,
        Err(error) => {
            let behind = error.location(&text).is_some_and(|it| it.offset as usize > own_bytes);
            let again = error.message().contains("redefinition");
            return wrong(match (behind, again) {
                (true, true) => format!(
                    "{}: that name is given (uniform, normal, below, example_number, Random, INPUTS, …); rename yours",
                    error.message()
                ),
                (true, false) => format!("ends before it is whole ({})", error.message()),
                (false, _) => error.emit_to_string_with_path(&text, own.name()),
            });
        }
    };
    if !module.entry_points.is_empty() {
        return wrong("declares an entry point; give functions alone".into());
    }
    if let Some((_, global)) = module
        .global_variables
        .iter()
        .find(|(_, global)| global.space != naga::AddressSpace::Private)
    {
        let name = global.name.as_deref().unwrap_or("?");
        return wrong(format!(
            "`{name}` is a variable outside of functions; give `const` or `var<private>`"
        ));
    }
    if let Some(name) = names(&module).into_iter().find(|name| taken().contains(name)) {
        return wrong(format!("the name `{name}` is taken; rename it"));
    }
    declared(&module, "draw_task", TASK, own)?;
    declared(&module, "draw_example", example(model.loss()), own)?;
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::empty());
    if let Err(error) = validator.validate(&module) {
        return wrong(error.emit_to_string_with_path(&text, own.name()));
    }
    if let Some((what, bytes)) = too_large(&module) {
        return wrong(format!(
            "{what} takes {bytes} bytes; WGSL has room for {MOST_BYTES}, and drivers take long over a tenth of that: keep \
             arrays short"
        ));
    }
    // With what calls it.
    let module = naga::front::wgsl::parse_str(&whole);
    let needed =
        format!("declare\n    struct Task {{ … }}\n    {TASK}\n    {}", example(model.loss()));
    // Lines of that are not the user's.
    let otherwise = |error: String| {
        wrong(format!(
            "`Task` or a function is declared otherwise than asked for ({error}); {needed}"
        ))
    };
    let module = match module {
        Ok(module) => module,
        Err(error) if error.message().contains("redefinition") => {
            return wrong(format!("{}: that name is taken; rename yours", error.message()));
        }
        Err(error) => return otherwise(error.to_string()),
    };
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::empty());
    match validator.validate(&module) {
        Ok(_) => Ok(()),
        Err(error) => otherwise(causes(&error.into_inner())),
    }
}

/// An error and what it comes from, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let all = std::iter::successors(Some(error), |error| error.source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What takes more than WGSL grants, and how many bytes: a task, or the variables of a function or outside of them.
fn too_large(module: &naga::Module) -> Option<(String, u64)> {
    let mut sizes = Layouter::default();
    sizes.update(module.to_ctx()).ok()?;
    let size = |of: naga::Handle<naga::Type>| u64::from(sizes[of].size);
    let tasks = module.types.iter().filter(|(_, it)| it.name.as_deref() == Some("Task"));
    let tasks = tasks.map(|(of, _)| ("`Task`".to_string(), size(of)));
    let outside = module.global_variables.iter().map(|(_, it)| size(it.ty)).sum();
    let functions = module.functions.iter().map(|(_, function)| {
        let name = function.name.as_deref().unwrap_or("?");
        let own = function.local_variables.iter().map(|(_, it)| size(it.ty)).sum();
        (format!("the variables of `{name}`"), own)
    });
    let all = tasks.chain([("`var<private>`".to_string(), outside)]).chain(functions);
    all.into_iter().find(|(_, bytes)| *bytes > MOST_BYTES)
}

/// Refuses a text without the function `name`.
fn declared(module: &naga::Module, name: &str, how: &str, own: &TaskFunctions) -> Result<()> {
    let there = module.functions.iter().any(|(_, it)| it.name.as_deref() == Some(name));
    if there {
        return Ok(());
    }
    Err(Error::config(own.name(), format!("declares no `{name}`; add\n    {how}")))
}

/// The names that a module declares.
fn names(module: &naga::Module) -> BTreeSet<String> {
    let functions = module.functions.iter().filter_map(|(_, it)| it.name.clone());
    let types = module.types.iter().filter_map(|(_, it)| it.name.clone());
    let constants = module.constants.iter().filter_map(|(_, it)| it.name.clone());
    let variables = module.global_variables.iter().filter_map(|(_, it)| it.name.clone());
    functions.chain(types).chain(constants).chain(variables).collect()
}

/// The names that the texts here use beside those that they give to the user's: declared, or called.
fn taken() -> &'static BTreeSet<String> {
    static TAKEN: OnceLock<BTreeSet<String>> = OnceLock::new();
    TAKEN.get_or_init(|| {
        let mut all = BTreeSet::new();
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let name_before = |text: &str| {
            let start = text.rfind(|letter| !is_name(letter)).map_or(0, |at| at + 1);
            text[start..].to_string()
        };
        for line in [KERNEL, RUN_STEP, VALUES, LABEL].iter().flat_map(|text| text.lines()) {
            let line = line.split("//").next().unwrap_or("");
            let called = line.match_indices(['(', '<']).map(|(end, _)| name_before(&line[..end]));
            all.extend(called);
            // Sizes that the kernel is told.
            let words = line.split(|letter| !is_name(letter));
            let told = |word: &&str| {
                word.starts_with(|letter: char| letter.is_ascii_uppercase())
                    && word
                        .chars()
                        .all(|it| it.is_ascii_uppercase() || it.is_ascii_digit() || it == '_')
            };
            all.extend(words.filter(told).map(String::from));
            // Outside of functions.
            let declared = match line.split(' ').next() {
                Some("struct") => line.split_once('{'),
                Some("alias" | "const") => line.split_once('='),
                Some("@group(0)") => line.split_once(':'),
                _ => None,
            };
            all.extend(declared.map(|(before, _)| name_before(before.trim_end())));
        }
        let header =
            format!("const INPUTS = 1u;\nconst OUTPUTS = 2u;\n{RNG}\n{PRECISE_SIN}\n{RANDOM}");
        let given = naga::front::wgsl::parse_str(&format!("{LEAST}{header}"));
        given.iter().flat_map(names).for_each(|name| {
            all.remove(&name);
        });
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check_functions;
    use crate::model::{Activation, ModelSpec};

    const SINE: &str = "struct Task { amplitude: f32, phase: f32 }\n\
        fn draw_task(random: ptr<function, Random>) -> Task {\n    \
        return Task(0.1 + 4.9 * uniform(random), 6.2831853 * uniform(random));\n}\n\
        fn draw_example(\n    \
        task: Task, random: ptr<function, Random>, x: ptr<function, array<f32, INPUTS>>,\n    \
        y: ptr<function, array<f32, OUTPUTS>>,\n) {\n    \
        (*x)[0] = 10.0 * uniform(random) - 5.0;\n    \
        (*y)[0] = task.amplitude * sin((*x)[0] + task.phase);\n}\n";

    fn network(inputs: usize, loss: Loss) -> Model {
        let spec = ModelSpec::builder(&[inputs]).loss(loss).dense(2, Activation::Linear);
        Model::new(spec).unwrap()
    }

    fn checked(text: &str, model: &Model) -> Result<()> {
        check_functions(&TaskFunctions::new("mine.wgsl", text), model)
    }

    #[test]
    fn functions_as_they_are_asked_for_pass() {
        checked(SINE, &network(1, Loss::Mse)).unwrap();
        checked(LEAST, &network(3, Loss::CrossEntropy)).unwrap();
        // Names of the kernel's own variables are free, and of what it does not use.
        let more =
            format!("{SINE}fn column(place: u32) -> u32 {{ return place; }}\nconst stream = 1;");
        checked(&more, &network(1, Loss::Mse)).unwrap();
    }

    #[test]
    fn what_is_wrong_is_named_with_the_users_line() {
        let mse = network(1, Loss::Mse);
        let refused = |text: &str, model: &Model| match checked(text, model) {
            Ok(()) => panic!("accepted: {text}"),
            Err(error) => error.to_string(),
        };
        let cases = [
            (SINE.replace("task.phase)", "task.phas)"), "mine.wgsl:10:"),
            (SINE.replace("(*x)[0] = 10.0", "(*x)[1] = 10.0"), "Accessing index 1 is out of"),
            (SINE.replace("fn draw_task", "fn drawtask"), "declares no `draw_task`; add"),
            (SINE.replace("uniform(random));", "random);"), "3 │ │     return Task(0.1"),
            (SINE.replace("struct Task", "struct Job"), "mine.wgsl:2:"),
            (format!("{SINE}fn uniform() {{}}"), "rename yours"),
            (format!("{SINE}fn main() {{}}"), "the name `main` is taken"),
            (
                format!("{SINE}fn select(a: u32) -> u32 {{ return a; }}"),
                "the name `select` is taken",
            ),
            (format!("{SINE}const QUERIES = 3u;"), "the name `QUERIES` is taken"),
            (format!("{SINE}var<private> runs: u32;"), "the name `runs` is taken"),
            (format!("{SINE}const SUPPORT = 3;"), "redefinition of `SUPPORT`: that name is taken"),
            (
                format!("{SINE}var<private> large: array<f32, 2100>;"),
                "`var<private>` takes 8400 bytes; WGSL has room for 8192",
            ),
            (
                SINE.replace("phase: f32 }", "phase: f32, more: array<f32, 3000> }").replace(
                    "6.2831853 * uniform(random))",
                    "uniform(random), array<f32, 3000>())",
                ),
                "`Task` takes 12008 bytes",
            ),
            (format!("{SINE}var<workgroup> shares: u32;"), "`shares` is a variable"),
            (format!("{SINE}@compute @workgroup_size(1) fn other() {{}}"), "entry point"),
            (String::new(), "declares no `draw_task`"),
            ("fn draw_task(".into(), "ends before it is whole"),
        ];
        for (text, part) in cases {
            let message = refused(&text, &mse);
            assert!(message.contains(part) && message.contains("mine.wgsl"), "{part}: {message}");
        }
        // A label where numbers are wanted, and the other way round.
        let text = refused(LEAST, &mse);
        assert!(text.contains("declared otherwise") && text.contains("OUTPUTS"), "{text}");
        assert!(!text.contains("│"), "no lines that are not the user's: {text}");
        let text = refused(SINE, &network(1, Loss::CrossEntropy));
        assert!(text.contains("-> u32"), "{text}");
        let text = refused(SINE, &network(2000, Loss::Mse));
        assert!(text.contains("2002 numbers"), "{text}");
    }
}
