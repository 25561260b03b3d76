import { TextualInversionError } from '../errors.js';
import { nearest } from '../options.js';
import type { Runtime } from '../platform.js';

/** A way to compute that a platform may offer. */
export interface BackendCandidate {
  readonly name: string;
  /** What it is, for people. */
  readonly what: string;
  /** Makes an engine; throws when the machine lacks what it needs. */
  readonly create: () => Promise<Runtime>;
  /** Why `auto` should pass it by on this machine, though it may work. */
  readonly objection?: () => string | undefined | Promise<string | undefined>;
}

/** An engine, and why it was taken. */
export interface ChosenBackend {
  readonly name: string;
  /** For people: what it is and what came before it, with each one's problem. */
  readonly reason: string;
  readonly runtime: Runtime;
}

/**
 * Makes the engine of this name, or for `auto` the first that works and that nothing speaks against.
 * @param candidates - The best first.
 * @throws BACKEND_UNKNOWN, BACKEND_UNAVAILABLE
 */
export async function chooseBackend(name: string, candidates: readonly BackendCandidate[]): Promise<ChosenBackend> {
  if (name !== 'auto') return named(name, candidates);
  const refused: string[] = [];
  for (const { name: candidate, what, create, objection } of candidates) {
    try {
      const against = await objection?.();
      if (against !== undefined) throw new Error(against);
      const because = refused.length > 0 ? `; before it: ${refused.join('; ')}` : '';
      return { name: candidate, reason: `the first that works here: ${what}${because}`, runtime: await create() };
    } catch (error) {
      refused.push(`${candidate} (${problemOf(error)})`);
    }
  }
  throw new TextualInversionError('BACKEND_UNAVAILABLE', {
    where: 'backend',
    expected: 'one that works here',
    found: refused.join('; '),
  });
}

async function named(name: string, candidates: readonly BackendCandidate[]): Promise<ChosenBackend> {
  const candidate = candidates.find((each) => each.name === name);
  if (!candidate) {
    const names = candidates.map((each) => each.name);
    const guess = nearest(name, names);
    throw new TextualInversionError('BACKEND_UNKNOWN', {
      where: 'backend',
      expected: `auto, ${names.join(', ')}`,
      found: JSON.stringify(name),
      fix: guess && `Did you mean "${guess}"?`,
    });
  }
  try {
    return { name, reason: `asked for: ${candidate.what}`, runtime: await candidate.create() };
  } catch (cause) {
    throw new TextualInversionError('BACKEND_UNAVAILABLE', {
      where: `backend ${name}`,
      expected: candidate.what,
      found: problemOf(cause),
      fix: 'Choose another, or auto for the first that works.',
      cause,
    });
  }
}

/** What ONNX Runtime puts before its reasons: file, function and condition of its source. */
const SOURCE_LOCATION = /^\S+\.(?:cc|h):\d+ .* was false\. /;

/** What went wrong at the root, on one line: errors of native libraries bring their stacks along. */
export function problemOf(error: unknown): string {
  if (error instanceof Error && error.cause !== undefined) return problemOf(error.cause);
  const [line = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
  return line.replace(SOURCE_LOCATION, '');
}
