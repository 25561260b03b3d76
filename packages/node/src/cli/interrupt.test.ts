import { afterEach, expect, it, vi } from 'vitest';
import { interruptSignal } from './interrupt.js';

afterEach(() => void vi.restoreAllMocks());

it.each(['SIGINT', 'SIGTERM'] as const)('the first %s asks the job to end, the second ends the process', (name) => {
  const kill = vi.spyOn(process, 'kill').mockReturnValue(true);
  const remove = vi.spyOn(process, 'removeAllListeners').mockReturnValue(process);
  const said = vi.fn();
  const before = process.listeners(name);
  const signal = interruptSignal(said);
  const [ours] = process.listeners(name).filter((listener) => !before.includes(listener));
  ours?.(name);
  expect(signal.aborted).toBe(true);
  expect(said).toHaveBeenCalledOnce();
  expect(kill).not.toHaveBeenCalled();
  ours?.(name);
  expect(said).toHaveBeenCalledOnce();
  expect(remove).toHaveBeenCalledWith(name);
  expect(kill).toHaveBeenCalledWith(process.pid, name);
});
