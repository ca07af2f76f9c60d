// Threads and channels: eight workers take numbers from one channel and answer on another, the main thread
// puts the answers in order with a map. Line i of `out`: "i i*i+7*i+1".
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

fn main() {
    let work = std::env::args().nth(1).expect("work directory");
    let mut out = File::create_new(format!("{work}/out")).unwrap();
    let (questions, queue) = sync_channel::<u64>(16);
    let queue = Arc::new(Mutex::new(queue));
    let (answers, results) = channel::<(u64, u64)>();
    let workers: Vec<_> = (0..8)
        .map(|k| {
            let queue = Arc::clone(&queue);
            let answers = answers.clone();
            thread::Builder::new()
                .name(format!("worker-{k}"))
                .spawn(move || loop {
                    let question = queue.lock().unwrap().recv();
                    let Ok(i) = question else { break };
                    thread::sleep(Duration::from_millis(1 + i % 5));
                    answers.send((i, i * i + 7 * i + 1)).unwrap();
                })
                .unwrap()
        })
        .collect();
    drop(answers);
    let directory = work.clone();
    let feeder = thread::spawn(move || {
        let mut i = 0;
        while !Path::new(&format!("{directory}/go")).exists() {
            questions.send(i).unwrap();
            i += 1;
            thread::sleep(Duration::from_millis(2));
        }
        i
    });
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    for (i, value) in results {
        waiting.insert(i, value);
        while let Some(value) = waiting.remove(&next) {
            out.write_all(format!("{next} {value}\n").as_bytes()).unwrap();
            next += 1;
            if next == 20 {
                fs::write(format!("{work}/ready"), "").unwrap();
            }
        }
    }
    for worker in workers {
        worker.join().unwrap();
    }
    let asked = feeder.join().unwrap();
    out.write_all(b"end\n").unwrap();
    let verdict = if asked == next { "PASS\n".into() } else { format!("FAIL: asked {asked}, answered {next}\n") };
    fs::write(format!("{work}/result"), verdict).unwrap();
}
