import { expect, test } from 'vitest';
import { interruptible } from './interruptible.js';

test('what waits ends at the interruption, and nothing is begun after it', async () => {
  const calls = interruptible();
  expect(await calls.run(() => Promise.resolve('done'))).toBe('done');
  await expect(calls.run(() => Promise.reject(new Error('of its own')))).rejects.toThrow('of its own');
  const waiting = [0, 1].map(() => calls.run(() => new Promise(() => {})));
  calls.interrupt(new Error('first'));
  calls.interrupt(new Error('second'));
  for (const each of waiting) await expect(each).rejects.toThrow('first');
  let begun = false;
  const later = calls.run(async () => {
    begun = true;
  });
  await expect(later).rejects.toThrow('first');
  expect(begun).toBe(false);
});
