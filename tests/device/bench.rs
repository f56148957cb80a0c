//! One iteration of every benchmark, and the report: as Markdown, as a picture, as JSON of the published schema.

use crate::common::with;
use crate::harness::{Device, On, Tests, named};
use reptile::experiments::bench::{
    Effort, Outcome, Point, Report, Settings, Size, Timing, Workload, compare, run, scaling, schema,
};

pub fn tests(tests: &mut Tests) {
    tests.on_if_all(On::FIRST, named!(every_workload_runs));
    tests.on(On::FIRST, named!(growth_is_a_table_and_a_picture));
    tests.on(On::FIRST, named!(what_exceeds_the_device_is_a_skipped_row));
    tests.alone(named!(the_published_schema_is_that_of_the_reports));
}

fn every_workload_runs(Device { gpu, .. }: &Device) {
    let settings = with(Settings::new(Workload::ALL.to_vec()), |it| {
        it.tasks = vec![2];
        it.quick = true;
        it.effort = Effort::ONCE;
    });
    let mut told = 0;
    let report = run(gpu, &settings, &mut |_| told += 1, &mut |_, _| Ok(None)).unwrap();
    assert_eq!(told, 1 + settings.sizes().len());
    for workload in &settings.workloads {
        let rows: Vec<_> =
            report.rows.iter().filter(|row| row.workload == workload.name()).collect();
        assert!(!rows.is_empty(), "{workload:?}");
        for row in rows {
            let Outcome::Measured(one) = &row.outcome else { panic!("{row:?}") };
            assert!(one.time.median > 0.0 && one.memory > 0, "{row:?}");
            assert_eq!(one.task_steps.is_some(), workload.is_training());
            assert!(one.share(&report.ceilings).unwrap() > 0.0);
            if workload.is_training() {
                let control = one.control.as_ref().unwrap();
                assert!(control.cpu < one.time.cpu, "the control does less: {row:?}");
            }
            assert_eq!(one.kernels.is_some(), workload.is_training(), "the device has timestamps");
            if let Some(dispatches) = &one.kernels {
                let repeats = dispatches.iter().map(|dispatch| dispatch.repeats).sum::<usize>();
                assert_eq!(repeats, one.dispatches);
                let operations =
                    dispatches.iter().map(|it| it.repeats as u64 * it.operations).sum::<u64>();
                assert_eq!(
                    Some(operations),
                    one.flops,
                    "counted from kernels and from the network"
                );
                for it in dispatches {
                    assert!(it.seconds > 0.0 && it.bytes > 0, "{it:?}");
                    assert!(it.workgroups > 0 && it.share(&report.ceilings).1 > 0.0, "{it:?}");
                }
            }
        }
    }
    let text = report.to_markdown();
    for part in ["Ceilings", "| sine (32 steps of batch 10) |", "| gemm |", "Variants:"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let tables = report.dispatches();
    for part in
        ["sine (32 steps of batch 10), 2 tasks:", "| layer_update | conv2 |", "% of memory |"]
    {
        assert!(tables.contains(part), "{part}: {tables}");
    }
    let page = report.page();
    for part in ["| device | driver, API |", "## Workloads", "## Dispatches", &tables] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let json = serde_json::to_string(&report).unwrap();
    let again: Report = serde_json::from_str(&json).unwrap();
    assert_eq!(again, report);
    let same = compare(&report, &again);
    assert!(same.contains("| 1.00 |") && !same.contains("only"), "{same}");
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("bars.svg");
    report.draw(&picture, "A", &[("B", &again)]).unwrap();
    let svg = std::fs::read_to_string(&picture).unwrap();
    assert!(svg.contains("omniglot, 2 tasks") && svg.matches("<rect").count() > 20, "{svg}");
    let mut less = report.clone();
    less.rows.remove(0);
    assert!(compare(&report, &less).contains("only A has sine of 2 tasks"));
}

fn growth_is_a_table_and_a_picture(Device { gpu, .. }: &Device) {
    let none = with(Settings::new(vec![]), |it| (it.quick, it.effort) = (true, Effort::ONCE));
    let mut report = run(gpu, &none, &mut |_| (), &mut |_, _| Ok(None)).unwrap();
    assert!(scaling(gpu, &[Workload::Norm], Effort::ONCE, &mut |_| ()).unwrap().is_empty());
    let time = Timing::of(Effort::ONCE, |_| Ok(())).unwrap();
    let point = |value, micros: f64| Point {
        workload: "sine".into(),
        size: Size::Batch,
        value,
        plan: "fused".into(),
        task_steps: 2,
        flops_per_task_step: 3_000,
        time: with(time.clone(), |it| it.median = 2e-6 * micros),
    };
    report.scaling = vec![point(1, 3.0), point(10, 20.0)];
    let text = report.to_markdown();
    assert!(text.contains("| sine | minibatch | 10 | fused | 20.0 |"), "{text}");
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("growth.svg");
    report.draw(&picture, "", &[]).unwrap();
    assert!(std::fs::read_to_string(&picture).unwrap().contains("sine: minibatch"));
    let error = report.draw(&folder.path().join("growth.png"), "", &[]).unwrap_err();
    assert!(error.to_string().contains(".svg"), "{error}");
}

fn what_exceeds_the_device_is_a_skipped_row(Device { gpu, .. }: &Device) {
    let settings = with(Settings::new(vec![Workload::Gemm]), |it| {
        it.tasks = vec![100_000];
        it.quick = true;
        it.effort = Effort::ONCE;
    });
    let report = run(gpu, &settings, &mut |_| (), &mut |_, _| Ok(None)).unwrap();
    let Outcome::Skipped(reason) = &report.rows[0].outcome else { panic!("{report:?}") };
    assert!(reason.contains("bytes"), "{reason}");
    assert!(report.to_markdown().contains("gemm of 100000 tasks: "));
}

fn the_published_schema_is_that_of_the_reports() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/bench.schema.json");
    let published = std::fs::read_to_string(path).unwrap_or_default();
    let current = schema();
    if published != current {
        let fresh = std::env::temp_dir().join("bench.schema.json");
        std::fs::write(&fresh, current).unwrap();
        panic!("{path} is not the schema of this version; that is in {}", fresh.display());
    }
}
