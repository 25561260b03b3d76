import { MultiBar, Presets, type SingleBar } from 'cli-progress';

/** Shows how far a long job is. */
export interface Progress {
  /** @param note - Shown behind the bar, such as the loss. */
  update(done: number, note?: string): void;
  stop(): void;
}

/** Without a terminal a line now and then. */
const LINE_EVERY_MS = 5000;

/** A bar with the time left on a terminal, plain lines elsewhere; always on standard error, so that output can be piped. */
export function startProgress(title: string, total: number): Progress {
  if (!process.stderr.isTTY) return plainLines(title, total);
  const format = `${title} {bar} {value}/{total} · {eta_formatted} left {note}`;
  const bars = new MultiBar(
    { format, hideCursor: true, stopOnComplete: false, clearOnComplete: false, etaBuffer: 30, stream: process.stderr },
    Presets.shades_classic,
  );
  const bar: SingleBar = bars.create(total, 0, { note: '' });
  return { update: (done, note = '') => bar.update(done, { note }), stop: () => bars.stop() };
}

function plainLines(title: string, total: number): Progress {
  const began = Date.now();
  let [last, printed] = [began, -1];
  return {
    update(done, note = '') {
      const now = Date.now();
      if (done === printed || (now - last < LINE_EVERY_MS && done < total)) return;
      [last, printed] = [now, done];
      const left = done > 0 ? Math.round(((now - began) / done) * ((total - done) / 1000)) : 0;
      process.stderr.write(`${title} ${done}/${total}, ${left} s left ${note}\n`);
    },
    stop() {},
  };
}
