import { expect, it } from 'vitest';
import type { Runtime } from '../platform.js';
import { type BackendCandidate, chooseBackend, problemOf } from './choose.js';

const candidate = (name: string, more: Partial<BackendCandidate> = {}): BackendCandidate => ({
  name,
  what: `what ${name} is`,
  create: async () => ({ name }) as Runtime,
  ...more,
});
const broken = candidate('broken', {
  create: async () => {
    throw new Error('it does not start', { cause: new Error('no library\n    at somewhere') });
  },
});
const slow = candidate('slow', { objection: () => 'slower than the next' });

it('takes the first that works and that nothing speaks against, and says why', async () => {
  const { name, runtime, reason } = await chooseBackend('auto', [broken, slow, candidate('good'), candidate('spare')]);
  expect([name, runtime.name]).toEqual(['good', 'good']);
  expect(reason).toBe(
    'the first that works here: what good is; before it: broken (no library); slow (slower than the next)',
  );
});

it('makes the one that was asked for, whatever speaks against it', async () => {
  expect(await chooseBackend('slow', [candidate('good'), slow])).toMatchObject({
    name: 'slow',
    reason: 'asked for: what slow is',
  });
});

it('refuses what it does not know, what does not start, and when nothing does', async () => {
  await expect(chooseBackend('brocken', [broken])).rejects.toThrow(/Did you mean "broken"/);
  await expect(chooseBackend('other', [broken])).rejects.toMatchObject({ code: 'BACKEND_UNKNOWN' });
  await expect(chooseBackend('broken', [broken])).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' });
  await expect(chooseBackend('auto', [broken, slow])).rejects.toThrow(/broken \(no library\); slow \(slower/);
});

it('names a problem without where in the source of a library it arose', () => {
  const native =
    '/src/webgpu_context.cc:136 Context::Initialize(const Config&) status == Success was false. No adapter.\n';
  expect(problemOf(new Error('wrapped', { cause: new Error(native) }))).toBe('No adapter.');
  expect(problemOf('odd')).toBe('odd');
});
