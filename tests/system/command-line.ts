import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const CLI = join(root, 'packages/textual-inversion/bin/textual-inversion.mjs');
const BUILT = join(root, 'packages/node/dist/cli.js');

export interface Outcome {
  /** As a shell says it: 128 and the signal's number for what a signal ended. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts the built command line as a user does. @param options.env - Added to this process's. */
export function start(
  args: readonly string[],
  { cwd = root, env = {} }: { cwd?: string; env?: Record<string, string> } = {},
): { child: ChildProcess; outcome: Promise<Outcome> } {
  if (!existsSync(BUILT)) throw new Error('build first: npm run build');
  const child = spawn(process.execPath, [CLI, ...args], { cwd, env: { ...process.env, ...env } });
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (part: Buffer) => stdout.push(part));
  child.stderr.on('data', (part: Buffer) => stderr.push(part));
  const outcome = new Promise<Outcome>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      const status = signal ? 128 + constants.signals[signal] : code;
      resolve({ status, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() });
    });
  });
  return { child, outcome };
}

export function run(args: readonly string[], options?: Parameters<typeof start>[1]): Promise<Outcome> {
  return start(args, options).outcome;
}

/** A folder that is gone after the tests. */
export function scratchFolder(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'ti-system-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Waits for `ready`, which a child process brings about. */
export async function until(ready: () => boolean, timeoutMs = 240_000): Promise<void> {
  const began = Date.now();
  while (!ready()) {
    if (Date.now() - began > timeoutMs) throw new Error('waited too long');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Everything below a folder, in order. */
export function everythingIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).toSorted();
}
