/**
 * What `npm start` and `npm test` do first: install what is missing and build what is stale.
 * Plain Node without dependencies, because nothing is installed when it runs.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

/** Runs a command with its output shown, and ends the process with its status when it fails. */
export function run(title, command, args, env = {}) {
  console.log(`\n> ${title}`);
  const started = Date.now();
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
    shell: process.platform === 'win32' && command !== process.execPath, // npm and npx are scripts there
  });
  if (result.error) throw result.error;
  if (result.status !== 0) {
    console.error(`\n${title} failed (${[command, ...args].join(' ')}, status ${result.status ?? result.signal}).`);
    process.exit(result.status ?? 1);
  }
  console.log(`  ${((Date.now() - started) / 1000).toFixed(1)} s`);
}

/** Installs the dependencies unless the lockfile's are there already. @param {number} minorOf20 - The oldest Node 20 that will do. */
export function install(minorOf20) {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < minorOf20)) {
    console.error(
      `Node ${process.versions.node} is too old: 20.${minorOf20} or newer is needed. See https://nodejs.org.`,
    );
    process.exit(2);
  }
  const installed = join(root, 'node_modules', '.package-lock.json');
  const lockfile = join(root, 'package-lock.json');
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lockfile).mtimeMs) return;
  // onnxruntime-node carries its CPU and WebGPU binaries; its install script would only fetch CUDA from elsewhere.
  // `npm ci` would refuse a lockfile that lacks other platforms' optional binaries, and a registry may not have all of them.
  run('Installing the dependencies', 'npm', ['install', '--no-save', '--no-fund', '--no-audit'], {
    ONNXRUNTIME_NODE_INSTALL: 'skip',
  });
}

/** Builds every package whose sources are newer than what was built. */
export function build() {
  for (const name of ['core', 'onnx', 'node', 'web', 'textual-inversion']) {
    const folder = join(root, 'packages', name);
    if (!existsSync(join(folder, 'tsup.config.ts'))) continue;
    const sources = Math.max(
      newest(join(folder, 'src')),
      newest(join(folder, 'tsup.config.ts')),
      newest(join(folder, 'package.json')),
    );
    if (oldest(join(folder, 'dist')) > sources) continue;
    run(`Building packages/${name}`, 'npm', ['run', '--silent', 'build', '-w', `packages/${name}`]);
  }
}

function times(path) {
  if (!existsSync(path)) return [];
  const stat = statSync(path);
  if (!stat.isDirectory()) return [stat.mtimeMs];
  return readdirSync(path).flatMap((entry) => times(join(path, entry)));
}

const newest = (path) => Math.max(0, ...times(path));
const oldest = (path) => {
  const all = times(path);
  return all.length ? Math.min(...all) : 0;
};
