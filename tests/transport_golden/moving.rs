//! The bytes of messages about moving a volume, and giving it another type.

use pumice::messages::api::{Outcome, Report};
use pumice::messages::scheduler::{Among, PlaceVolume, RequestSpec};
use pumice::model::spec::VolumeSource;
use pumice::model::*;
use pumice::verbs::volume::{CompleteMigration, MigrateVolume, RetypeVolume, RetypeVolumeCommand};

use super::{backend, command, compare, id, lines, map, message, reply, spec, text};

#[test]
fn each_message_about_moving_a_volume_has_the_bytes_it_had() {
    let volume_id = || id(2).to_string();
    message(&[(
        "full",
        MigrateVolume {
            volume_id: volume_id(),
            destination: "h2@lvm#p".to_owned(),
            lock_volume: true,
        },
    )]);
    message(&[(
        "full",
        CompleteMigration {
            volume_id: volume_id(),
            new_volume: id(3).to_string(),
            error: true,
        },
    )]);
    reply("api.complete_migration", &[("full", id(3).to_string())]);
    message(&[(
        "full",
        RetypeVolume {
            volume_id: volume_id(),
            new_type: "fast".to_owned(),
            may_move: true,
        },
    )]);
    message(&[(
        "full",
        RetypeVolumeCommand {
            command: command(),
            volume: spec(VolumeSource::Raw),
            remaining_ms: 60_000,
        },
    )]);
    let place = |prefer, among| PlaceVolume {
        command: command(),
        request: RequestSpec {
            volume_id: VolumeId(id(2)),
            size: 3,
            availability_zone: text("nova"),
            extra_specs: map(),
            resource_backend: None,
            hints: None,
            tried: vec![backend().pool("p")],
        },
        prefer,
        among,
    };
    message(&[
        ("all", place(Some(backend().pool("p")), Among::All)),
        ("backend", place(None, Among::Backend(backend()))),
        ("pool", place(None, Among::Pool(backend().pool("p")))),
    ]);
}

#[test]
fn reports_of_placing_and_retyping_have_the_bytes_they_had() {
    let report = |outcome| Report {
        command: command(),
        from: None,
        outcome,
        steps: Vec::new(),
    };
    let pool = backend().pool("p");
    let samples = [
        ("placed", report(Outcome::Placed { pool })),
        ("retyped", report(Outcome::Retyped { in_place: true })),
    ];
    compare("message.api.report.moving", &lines(&samples));
}
