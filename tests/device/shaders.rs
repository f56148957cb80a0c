//! The kernels' texts: valid WGSL in every variant, rolled and unrolled, that every backend can say,
//! with structs laid out as the host writes them; and quiet validation layers.

use crate::common::with;
use crate::harness::{Tests, all, named};
use std::collections::{BTreeMap, BTreeSet};
use std::mem::offset_of;
use std::sync::{Mutex, OnceLock};

use crate::every_kernel::{FILES, Texts, run, texts};
use naga::back::{glsl, hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use reptile::gpu::{Access, AdapterChoice, Global, Gpu, GpuOptions, globals};
use reptile::kernels::{InnerStep, RunStep};

pub fn tests(tests: &mut Tests) {
    tests.alone(named!(every_variant_is_valid_and_crosses_to_every_backend));
    tests.alone(named!(host_structs_are_laid_out_as_in_wgsl));
    tests.alone(named!(the_vulkan_validation_layers_stay_silent));
}

fn parse(text: &str, name: &str) -> (naga::Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(text)
        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(text)));
    let info = Validator::new(ValidationFlags::all(), Capabilities::all())
        .validate(&module)
        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(text)));
    (module, info)
}

fn every_variant_is_valid_and_crosses_to_every_backend() {
    let texts = texts();
    for name in FILES {
        assert!(texts.values().any(|found| *found == name), "{name} was never compiled");
    }
    let on_disk = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders")).unwrap();
    assert_eq!(on_disk.count(), FILES.len() + 1, "the list names every file beside lib/");
    let mut mirrors = 0;
    for (text, name) in texts {
        let (module, info) = parse(text, name);
        let found = globals(name, text).unwrap();
        assert_eq!(found, globals_by_naga(&module), "{name}");
        mirrors += found.iter().filter(|it| matches!(it.access, Access::Mirror { .. })).count();
        let options = spv::Options { lang_version: (1, 3), ..Default::default() };
        spv::write_vec(&module, &info, &options, None)
            .unwrap_or_else(|error| panic!("{name} to SPIR-V: {error}"));
        let options = msl::Options { lang_version: (2, 4), ..Default::default() };
        msl::write_string(&module, &info, &options, &msl::PipelineOptions::default())
            .unwrap_or_else(|error| panic!("{name} to MSL: {error}"));
        let options = hlsl::Options { shader_model: hlsl::ShaderModel::V6_0, ..Default::default() };
        let pipeline = hlsl::PipelineOptions::default();
        hlsl::Writer::new(&mut String::new(), &options, &pipeline)
            .write(&module, &info, None)
            .unwrap_or_else(|error| panic!("{name} to HLSL: {error}"));
        to_glsl(&module, &info, name, text.contains("subgroup"));
    }
    assert!(mirrors > 0, "kernels that read mirrors are among them");
}

/// GLSL of desktops has subgroups from 4.3 on, that of browsers and phones has none.
fn to_glsl(module: &naga::Module, info: &ModuleInfo, name: &str, subgroups: bool) {
    let version = if subgroups {
        glsl::Version::Desktop(430)
    } else {
        glsl::Version::Embedded { version: 310, is_webgl: false }
    };
    let options = glsl::Options { version, ..Default::default() };
    let pipeline = glsl::PipelineOptions {
        shader_stage: naga::ShaderStage::Compute,
        entry_point: "main".into(),
        multiview: None,
    };
    let mut out = String::new();
    let policies = naga::proc::BoundsCheckPolicies::default();
    glsl::Writer::new(&mut out, module, info, &options, &pipeline, policies)
        .and_then(|mut writer| writer.write())
        .unwrap_or_else(|error| panic!("{name} to GLSL: {error}"));
}

/// What a text declares and uses, by naga.
fn globals_by_naga(module: &naga::Module) -> Vec<Global> {
    let functions = module.functions.iter().map(|(_, function)| function);
    let entries = module.entry_points.iter().map(|entry| &entry.function);
    let expressions = functions.chain(entries).flat_map(|it| it.expressions.iter());
    let used: BTreeSet<_> = expressions
        .filter_map(|(_, expression)| match expression {
            naga::Expression::GlobalVariable(global) => Some(*global),
            _ => None,
        })
        .collect();
    let all = module.global_variables.iter().filter(|(handle, _)| used.contains(handle));
    let mut globals: Vec<Global> = all
        .filter_map(|(_, global)| {
            let access = match (global.space, &module.types[global.ty].inner) {
                (naga::AddressSpace::Uniform, _) => Access::Uniform,
                (naga::AddressSpace::Storage { access }, _) => {
                    match access.contains(naga::StorageAccess::STORE) {
                        true => Access::ReadWrite,
                        false => Access::Read,
                    }
                }
                (_, naga::TypeInner::Image { class, .. }) => {
                    let format = naga::StorageFormat::Rgba32Uint;
                    let words = matches!(class, naga::ImageClass::Storage { format: it, .. } if *it == format);
                    Access::Mirror { words }
                }
                _ => return None,
            };
            let binding = global.binding?.binding;
            Some(Global { name: global.name.clone()?, binding, access })
        })
        .collect();
    globals.sort_by_key(|global| global.binding);
    globals
}

/// Size of the WGSL struct `name`, and offset of each member.
fn layout(texts: &Texts, name: &str) -> (u32, BTreeMap<String, u32>) {
    let found = texts.iter().find_map(|(text, kernel)| {
        let (module, _) = parse(text, kernel);
        module.types.iter().find_map(|(_, ty)| match &ty.inner {
            naga::TypeInner::Struct { members, span } if ty.name.as_deref() == Some(name) => {
                let offsets = members
                    .iter()
                    .map(|member| (member.name.clone().unwrap_or_default(), member.offset))
                    .collect();
                Some((*span, offsets))
            }
            _ => None,
        })
    });
    found.unwrap_or_else(|| panic!("no kernel has a struct {name}"))
}

fn host_structs_are_laid_out_as_in_wgsl() {
    let texts = texts();
    macro_rules! check {
        ($name:ident: $($field:ident),*) => {
            let (size, offsets) = layout(texts, stringify!($name));
            assert_eq!(size as usize, size_of::<$name>(), stringify!($name));
            let host = BTreeMap::from([
                $((stringify!($field).to_string(), offset_of!($name, $field) as u32)),*
            ]);
            assert_eq!(offsets, host, stringify!($name));
        };
    }
    check!(RunStep: seed, phase, iteration, adam_steps, outer_steps, first_task, slot, inner_rate,
        outer_rate, weight_decay, tasks_inverse, strategy_rate, strategy_prior, entries,
        entries_inverse, visit, support, rows, queries, loss_scale, query_scale);
    check!(InnerStep: index, order_start, last, first_task);
}

/// Collects what the validation layers say.
struct Listener;

static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl log::Log for Listener {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record) {
        let text = record.args().to_string();
        if self.enabled(record.metadata()) && text.contains("VALIDATION") {
            HEARD.lock().unwrap().push(text);
        }
    }

    fn flush(&self) {}
}

fn the_vulkan_validation_layers_stay_silent() {
    static LISTENER: OnceLock<()> = OnceLock::new();
    LISTENER.get_or_init(|| {
        log::set_logger(&Listener).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
    });
    let layers = "/usr/share/vulkan/explicit_layer.d";
    let installed = std::fs::read_dir(layers).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().contains("validation"))
    });
    if !installed {
        eprintln!("skipped: no validation layers");
        return;
    }
    let choice = with(AdapterChoice::default(), |it| {
        it.backend = Some(reptile::wgpu::Backend::Vulkan);
        it.validation = true;
    });
    let gpu = Gpu::request(&choice, GpuOptions::default()).unwrap();
    run(&gpu, all());
    let heard = HEARD.lock().unwrap();
    assert!(heard.is_empty(), "{}", heard.join("\n"));
}
