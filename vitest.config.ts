import { defineConfig } from 'vitest/config'

/** Everything that runs on a bare machine; the container tests have a configuration of their own. */
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/cluster/**', '**/node_modules/**'],
    pool: 'forks',
    // Every file with a server runs one of its own.
    maxWorkers: 2,
    allowOnly: false,
    // For what hangs, not for what is slow: machines differ.
    testTimeout: 120_000,
    hookTimeout: 60_000,
    reporters: ['default'],
  },
})
