import { defineConfig } from 'vitest/config'

/** Tests against containers: they need a Docker engine, and fail with a clear message where there is none. */
export default defineConfig({
  test: {
    include: ['test/cluster/**/*.test.ts'],
    fileParallelism: false,
    testTimeout: 180_000,
    hookTimeout: 240_000,
  },
})
