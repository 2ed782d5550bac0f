//! What is said while a volume is copied from one backend to another.

use pumice::messages::api::CopyProgress;
use pumice::verbs::volume::{
    CopyVolumeDataCommand, OpenCopySourceCommand, ReadVolumeData, RelayedRead, VolumeData,
};

use super::*;

#[test]
fn each_message_of_a_copy_has_the_bytes_it_had() {
    message(&[(
        "full",
        OpenCopySourceCommand {
            command: command(),
            volume: spec(VolumeSource::Raw),
            remaining_ms: 60_000,
        },
    )]);
    message(&[(
        "full",
        CopyVolumeDataCommand {
            command: command(),
            volume: spec(VolumeSource::Raw),
            source: backend(),
            source_volume: VolumeId(id(4)),
            offset: 1 << 20,
            length: 3 << 30,
            remaining_ms: 60_000,
        },
    )]);
    message(&[(
        "full",
        CopyProgress {
            command: command(),
            from: backend(),
            offset: 1 << 20,
        },
    )]);
    let question = ReadVolumeData {
        operation: OperationId(id(1)),
        volume: VolumeId(id(4)),
        offset: 1 << 20,
        length: 3,
    };
    message(&[("full", question.clone())]);
    let relayed = RelayedRead {
        source: backend(),
        question: question.clone(),
    };
    message(&[("full", relayed)]);
    let answers = [
        ("not_open", VolumeData::NotOpen),
        ("zeros", VolumeData::Zeros { length: 1 << 30 }),
        ("bytes", VolumeData::of(&question, vec![1, 2, 3])),
    ];
    reply("volume.read_volume_data", &answers);
}
