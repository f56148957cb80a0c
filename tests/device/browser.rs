//! The browser's own WGSL compiler, which refuses more than naga does.

use crate::harness::{Tests, named};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::every_kernel::{FILES, texts};

pub fn tests(tests: &mut Tests) {
    tests.alone(named!(the_browsers_compiler_takes_every_kernel));
}

/// A page that compiles every text and posts what the compiler says.
const PAGE: &str = r#"<!doctype html><script>
async function compile(kernels) {
  const adapter = await navigator.gpu.requestAdapter();
  const subgroups = adapter.features.has('subgroups');
  const device = await adapter.requestDevice({ requiredFeatures: subgroups ? ['subgroups'] : [] });
  const heard = [];
  let compiled = 0;
  for (const [name, text] of kernels) {
    const uses = text.includes('subgroup');
    if (uses && !subgroups) continue;
    const code = (uses ? 'enable subgroups;\n' : '') + text;
    const info = await device.createShaderModule({ code }).getCompilationInfo();
    for (const m of info.messages)
      if (m.type !== 'info') heard.push(name + ':' + m.lineNum + ': ' + m.message);
    compiled += 1;
  }
  return { compiled, heard };
}
const answer = value => fetch('/', { method: 'POST', body: JSON.stringify(value) });
compile(KERNELS).then(answer, error => answer({ compiled: 0, heard: ['' + error] }));
</script>"#;

/// A browser that is closed in any case.
struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn open(program: &str, profile: &std::path::Path, address: &str) -> Browser {
    let child = Command::new(program)
        .args(["--headless", "--no-sandbox", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(address)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Browser(child)
}

/// Reads a request: its first line and its body.
fn request(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_lowercase().strip_prefix("content-length:").map(str::to_string)
                })
                .map_or(0, |length| length.trim().parse::<usize>().unwrap());
            if bytes.len() >= head.len() + 4 + length {
                let first = head.lines().next().unwrap_or_default().to_string();
                return (first, bytes[head.len() + 4..].to_vec());
            }
        }
        match stream.read(&mut buffer).unwrap_or(0) {
            0 => return (String::new(), Vec::new()),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Serves `page` until something is posted.
fn serve(listener: &TcpListener, page: &str) -> Vec<u8> {
    listener.set_nonblocking(true).unwrap();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(120) {
        let Ok((mut stream, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        stream.set_nonblocking(false).unwrap();
        let (first, body) = request(&mut stream);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close";
        let answer = if first.starts_with("GET / ") { page } else { "" };
        // A connection that the browser opened ahead and closed again is no failure.
        let _ = write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
        if first.starts_with("POST") {
            return body;
        }
    }
    panic!("the browser did not answer within two minutes");
}

fn the_browsers_compiler_takes_every_kernel() {
    let programs = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let Some(program) = programs.iter().find(|path| std::path::Path::new(path).is_file()) else {
        eprintln!("skipped: no chromium");
        return;
    };
    let kernels: Vec<(&str, &str)> =
        texts().iter().map(|(text, name)| (*name, text.as_str())).collect();
    let json = serde_json::to_string(&kernels).unwrap().replace("</", "<\\/");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let profile = tempfile::tempdir().unwrap();
    let _browser = open(program, profile.path(), &address);
    let answer: serde_json::Value =
        serde_json::from_slice(&serve(&listener, &PAGE.replace("KERNELS", &json))).unwrap();
    let heard = answer["heard"].as_array().unwrap();
    assert!(heard.is_empty(), "{heard:#?}");
    let compiled = answer["compiled"].as_u64().unwrap();
    assert!(compiled as usize >= FILES.len() - 1, "{compiled} texts were compiled");
}
