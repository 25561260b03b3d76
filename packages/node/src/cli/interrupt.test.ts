import { afterEach, expect, it, vi } from 'vitest';
import { interruptSignal } from './interrupt.js';

afterEach(() => void vi.restoreAllMocks());

it.each(['SIGINT', 'SIGTERM'] as const)('the first %s asks the job to end, the second ends the process', (name) => {
  const exit = vi.spyOn(process, 'exit').mockImplementation(() => {
    throw new Error('left');
  });
  const said = vi.fn();
  const before = process.listeners(name);
  const signal = interruptSignal(said);
  const [ours] = process.listeners(name).filter((listener) => !before.includes(listener));
  ours?.(name);
  expect(signal.aborted).toBe(true);
  expect(said).toHaveBeenCalledOnce();
  expect(exit).not.toHaveBeenCalled();
  expect(() => ours?.(name)).toThrow('left');
  expect(said).toHaveBeenCalledOnce();
  expect(exit).toHaveBeenCalledWith(130);
});
