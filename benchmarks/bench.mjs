/**
 * Runs our code and the reference in turn on the same sizes and weights, and says how they compare.
 *
 *   npm run bench -- TASK [--rounds N] [--threads N] [--backend NAME] [--device NAME] [--dtype NAME] [--ours] [--json]
 *
 * The outcome is kept in `benchmarks/.cache/results`; those that docs/performance.md tells of are in `benchmarks/results`.
 * `--backend` is ours, such as `onnx-webgpu`. `--device` (`cuda`) and `--dtype` (`tf32`, `bfloat16`) are the reference's.
 *
 * The reference runs in `benchmarks/peer`, in a Python environment of its own (made on first use), or in that of `TI_PEER_PYTHON`.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildOurs } from './build.mjs';
import { CACHE, sd15 } from './checkpoint.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const TINY = join(HERE, '..', 'packages', 'tiny-model');

const TASKS = [
  'sd15-unet-512',
  'sd15-guided-512',
  'sd15-step-512',
  'sd15-step-512-encoded',
  'sd15-step-256',
  'sd15-step-256-encoded',
  'sd15-encode-512',
  'sd15-decode-512',
  'sd15-text',
  'tiny-step-1',
  'tiny-step-4',
  'tiny-step-4-encoded',
  'tiny-invert',
];

/** What is compared; a result that is not of these has its settings in its name. */
const SETTINGS = { backend: 'onnx-cpu', device: 'cpu', dtype: 'float32' };
const setting = (name) => ({ type: 'string', default: SETTINGS[name] });

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string' },
    backend: setting('backend'),
    device: setting('device'),
    dtype: setting('dtype'),
    ours: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const [task] = positionals;
const rounds = Number(options.rounds);
if (!TASKS.includes(task) || !Number.isInteger(rounds) || rounds < 1) {
  console.error(
    'npm run bench -- TASK [--rounds N] [--threads N] [--backend onnx-webgpu] [--device cuda] [--dtype tf32|bfloat16] [--ours] [--json]\n' +
      `The device and the dtype are the reference's.\nTasks: ${TASKS.join(', ')}`,
  );
  process.exit(2);
}

const { backend, device, dtype } = options;
const threads = options.threads ? { threads: Number(options.threads) } : {};
const folder = task.startsWith('tiny') ? TINY : sd15();
const script = await buildOurs();
const programs = [['ours', process.execPath, [script, task, folder, JSON.stringify({ ...threads, backend })]]];
const peerKnows = task !== 'tiny-invert';
if (!options.ours && peerKnows) {
  const file = join(HERE, 'peer', 'reference.py');
  programs.push(['reference', python(), [file, task, folder, JSON.stringify({ ...threads, device, dtype })]]);
}

/** Before every run, so that the other side's threads have stopped waiting for work, which takes a core from whoever is timed. */
const REST_MS = 50;
const sides = [];
// One after the other: each has the machine for itself while it loads and runs for the first time.
for (const program of programs) {
  const side = start(...program);
  sides.push({ ...side, ready: await side.next(), seconds: [], processor: [], parts: [] });
}
for (let round = 0; round < rounds; round++) {
  for (const side of sides) {
    await setTimeout(REST_MS);
    side.send('run');
    const { seconds, processorSeconds, parts } = await side.next();
    side.seconds.push(seconds);
    side.processor.push(processorSeconds);
    side.parts.push(parts ?? {});
  }
}
const reference = sides.find(({ name }) => name === 'reference');
let flops;
if (reference) {
  reference.send('flops');
  flops = (await reference.next()).flops;
}
for (const side of sides) {
  side.send('end');
  side.peakBytes = (await side.next()).peakBytes;
}

const result = {
  task,
  date: new Date().toISOString(),
  machine: { ...machine(), gpu: reference?.ready.gpu },
  versions: versions(reference),
  settings: { backend, device, dtype, ...threads },
  rounds,
  ...Object.fromEntries(sides.map((side) => [side.name, summary(side)])),
};
if (reference) {
  result.ratio = result.reference.median / result.ours.median;
  result.ratioOfProcessorSeconds = result.reference.processorMedian / result.ours.processorMedian;
  result.limit = { flops, matmulFlopsPerSecond: reference.ready.matmul, seconds: flops / reference.ready.matmul };
}
if (options.json) console.log(JSON.stringify(result, undefined, 1));
else print(result);
const results = join(CACHE, 'results');
mkdirSync(results, { recursive: true });
writeFileSync(
  join(results, `${[task, ...Object.keys(SETTINGS).flatMap(special)].join('-')}.json`),
  `${JSON.stringify(result, undefined, 1)}\n`,
);

function special(name) {
  return options[name] === SETTINGS[name] ? [] : [options[name]];
}

/** A process that answers every line it is sent with one of JSON. */
function start(name, command, args) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    name,
    send: (line) => void child.stdin.write(`${line}\n`),
    next: async () => {
      const { value, done } = await lines.next();
      if (done) throw new Error(`${name} ended early`);
      return JSON.parse(value);
    },
  };
}

function python() {
  if (process.env.TI_PEER_PYTHON) return process.env.TI_PEER_PYTHON;
  const venv = join(CACHE, 'peer-venv');
  const interpreter = join(venv, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');
  if (!existsSync(interpreter)) {
    const stdio = ['ignore', 'inherit', 'inherit'];
    execFileSync('python3', ['-m', 'venv', venv], { stdio });
    execFileSync(interpreter, ['-m', 'pip', 'install', '-q', '-r', join(HERE, 'peer', 'requirements.txt')], { stdio });
  }
  return interpreter;
}

function summary({ seconds, processor, parts, ready, peakBytes }) {
  const names = [...new Set(parts.flatMap((each) => Object.keys(each)))];
  return {
    median: median(seconds),
    minimum: Math.min(...seconds),
    maximum: Math.max(...seconds),
    processorMedian: median(processor),
    peakBytes,
    gpuPeakBytes: ready.gpuPeakBytes,
    loadSeconds: ready.load,
    firstSeconds: ready.first,
    secondsSinceStart: ready.sinceStart,
    parts: Object.fromEntries(names.map((name) => [name, median(parts.map((each) => each[name]))])),
  };
}

function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
}

/** What was measured: our commit, with a + where files had been changed since, and the engines. */
function versions(reference) {
  const git = (...args) => {
    try {
      return execFileSync('git', args, { cwd: HERE, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
    } catch {
      return ''; // no repository
    }
  };
  const { version } = JSON.parse(
    readFileSync(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'), 'utf8'),
  );
  const commit = `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain', '-uno') && '+'}`;
  return { commit, onnxruntime: version, ...reference?.ready.versions };
}

function machine() {
  const flags = existsSync('/proc/cpuinfo')
    ? (readFileSync('/proc/cpuinfo', 'utf8').match(/^flags.*$/m)?.[0] ?? '')
    : '';
  return {
    processor: cpus()[0]?.model,
    cores: cpus().length,
    instructionSets: ['avx', 'avx2', 'fma', 'avx512f', 'avx512_bf16', 'amx_bf16'].filter((set) =>
      flags.split(' ').includes(set),
    ),
    memoryBytes: totalmem(),
    node: process.version,
    system: `${type()} ${release()}`,
  };
}

function print({ ours, reference, ratio, ratioOfProcessorSeconds, limit }) {
  const row = (name, { median, minimum, maximum, processorMedian, peakBytes, firstSeconds, secondsSinceStart }) =>
    console.log(
      `${name.padEnd(10)} ${median.toFixed(3)} s (${minimum.toFixed(3)} to ${maximum.toFixed(3)}; processor ${processorMedian.toFixed(2)} s), ` +
        `first ${firstSeconds.toFixed(2)} s (${secondsSinceStart.toFixed(2)} s from the start of the process), peak ${(peakBytes / 2 ** 30).toFixed(2)} GiB`,
    );
  console.log(`${task}, ${rounds} rounds`);
  row('ours', ours);
  if (!reference) return;
  row('reference', reference);
  for (const [name, seconds] of Object.entries(reference.parts))
    console.log(`  ${name.padEnd(10)} ${seconds.toFixed(3)} s`);
  console.log(`ratio ${ratio.toFixed(2)} (of processor seconds ${ratioOfProcessorSeconds.toFixed(2)})`);
  console.log(
    `limit ${limit.seconds.toFixed(3)} s: ${(limit.flops / 1e9).toFixed(1)} GFLOP at ${(limit.matmulFlopsPerSecond / 1e9).toFixed(0)} GFLOPS`,
  );
}
