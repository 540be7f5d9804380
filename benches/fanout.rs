//! What the media plane does with a picture of a 2.5 Mbit/s stream, without the kernel: packetize it, seal its packets, and
//! send it to many viewers whose datagrams are thrown away.
//!
//! `cargo bench --bench fanout`. For the kernel's part, see `make bench-fanout`.

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fanlight::media::AccessUnit;
use fanlight::rtc::sim::bench::{FanOut, Profile, Sealer, packetize};
use std::hint::black_box;
use std::time::{Duration, Instant};

const PROFILES: [(&str, Profile); 2] = [
    ("AEAD_AES_128_GCM", Profile::Gcm),
    ("AES128_CM_HMAC_SHA1_80", Profile::Cm),
];

/// A picture's bytes: one slice without start codes in it.
fn picture(keyframe: bool) -> Bytes {
    let (header, len) = if keyframe {
        (0x65, 60_000)
    } else {
        (0x41, 10_300)
    };
    let body = (0..len).map(|n: usize| (n % 255 + 1) as u8);
    [0, 0, 0, 1, header].into_iter().chain(body).collect()
}

fn packetizing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("packetize");
    for (name, keyframe) in [("delta picture", false), ("keyframe", true)] {
        let data = picture(keyframe);
        group.throughput(Throughput::Bytes(data.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| packetize(black_box(&data))));
    }
}

fn sealing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("protect");
    let payload = [7; 1150];
    group.throughput(Throughput::Bytes(payload.len() as u64));
    for (name, profile) in PROFILES {
        let mut sealer = Sealer::new(profile);
        group.bench_function(name, |bencher| {
            bencher.iter(|| sealer.seal(black_box(&payload)));
        });
    }
}

/// Pictures of a stream, one each 33 ms.
fn pictures() -> impl FnMut(bool) -> AccessUnit {
    let both = [picture(false), picture(true)];
    let mut at = Instant::now();
    move |keyframe| {
        at += Duration::from_millis(33);
        AccessUnit {
            data: both[usize::from(keyframe)].clone(),
            keyframe,
            temporal_layer: 0,
            captured_at: at,
            encoded_at: at,
        }
    }
}

fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a picture to N viewers");
    for viewers in [1, 10, 100, 1000] {
        group.throughput(Throughput::Elements(u64::from(viewers) * 9));
        let mut fan_out = FanOut::new(Profile::Gcm, viewers);
        let mut unit = pictures();
        fan_out.show(&unit(true));
        assert_eq!(fan_out.show(&unit(false)), usize::from(viewers) * 9);
        group.bench_function(BenchmarkId::from_parameter(viewers), |bencher| {
            bencher.iter(|| fan_out.show(&unit(false)));
        });
    }
}

fn looking_up(criterion: &mut Criterion) {
    let mut unit = pictures();
    let mut fan_out = FanOut::new(Profile::Gcm, 1);
    (0..60).for_each(|n| {
        fan_out.show(&unit(n == 0));
    });
    criterion.bench_function("cache lookup", |bencher| {
        bencher.iter(|| fan_out.look_up(black_box(30)));
    });
}

criterion_group!(benches, packetizing, sealing, fan_out, looking_up);
criterion_main!(benches);
