import { task } from 'troupe'

export const encode = task('encode', async (video: string) => `${video}.webm`, {
  isolate: 'process', // or 'thread'; a crash or an endless loop there harms no other task
  memory: 512, // MiB of heap
  timeout: '10m', // of one turn, from start to close: TROUPE_TIMEOUT
  heartbeat: '30s', // without a stored state or ctx.progress: TROUPE_HEARTBEAT_TIMEOUT
  retry: { attempts: 3, backoff: '5s', factor: 2, max: '1m' },
})
