/** A main loop that something else keeps busy for most of the time. Run before everything else in a node's process. */
import { isMainThread } from 'node:worker_threads'

const busyMs = 1_000

if (isMainThread) {
  setInterval(() => {
    for (const endMs = performance.now() + busyMs; performance.now() < endMs; );
  }, busyMs + 100).unref()
}
