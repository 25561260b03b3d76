import { MultiBar, Presets, type SingleBar } from 'cli-progress';

/** Shows how far a long job is. */
export interface Progress {
  /**
   * @param note - Shown behind the bar, such as the loss.
   * @param total - Where it is known better by now.
   */
  update(done: number, note?: string, total?: number): void;
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
  return {
    update(done, note = '', better = total) {
      if (better !== bar.getTotal()) bar.setTotal(better);
      bar.update(done, { note });
    },
    stop: () => bars.stop(),
  };
}

/** Tells warnings on standard error: in a line of JSON where a program reads. */
export function warnings(json = false): (message: string) => void {
  return (message) =>
    process.stderr.write(json ? `${JSON.stringify({ warning: message })}\n` : `\nwarning: ${message}\n`);
}

function plainLines(title: string, total: number): Progress {
  const began = Date.now();
  let [last, printed] = [began, -1];
  let first: number | undefined; // a job that goes on does not begin at zero
  return {
    update(done, note = '', better = total) {
      first ??= done - 1;
      const now = Date.now();
      if (done === printed || (now - last < LINE_EVERY_MS && done < better)) return;
      [last, printed] = [now, done];
      const left = Math.round(((now - began) / Math.max(1, done - first)) * ((better - done) / 1000));
      process.stderr.write(`${title} ${done}/${better}, ${left} s left ${note}\n`);
    },
    stop() {},
  };
}
