/**
 * Every bound of the system in one place, each with its unit. A message or setting beyond a bound is refused or set
 * aside with its reason; nothing grows without one of these.
 */
export const limits = {
  /** Bytes that a log must be given at least. */
  logBytesMin: 16 * 1024 * 1024,
  /** Partitions of a namespace. */
  partitionsMax: 64,
  /** Characters of a task id, a task type, a node id, a client id or a namespace. */
  nameCharsMax: 128,
  /** Bytes of one value (input, result, snapshot) kept in the log itself; a larger one becomes an object. */
  inlineBytesMax: 128 * 1024,
  /** Bytes of one value at all, as an object. */
  valueBytesMax: 64 * 1024 * 1024,
  /** Bytes of one block; half of the server's default `max_payload` of 1 MiB, so that headers always fit. */
  blockBytesMax: 512 * 1024,
  /** Entries in one block. */
  blockEntriesMax: 4096,
  /** Nesting depth of any value that is decoded. */
  depthMax: 64,
  /** Keys in one object, or items in one array, of a value that is decoded. */
  itemsMax: 1_000_000,
  /** Tasks that one task may wait for with `after`. */
  afterMax: 1_000,
  /** Members of a gang. */
  gangSizeMax: 1_000,
  /** Groups, one in the other, that one task is supervised in. */
  groupLevelsMax: 8,
  /** Failures within a period that a group may be told to bear. */
  groupIntensityMax: 10_000,
  /** Signals kept for one task that has not consumed them; further ones are set aside. */
  signalsPerTaskMax: 1_000,
  /** Tasks in one award message. */
  awardTasksMax: 256,
  /** Task types that one node may offer. */
  typesPerNodeMax: 20_000,
  /** Types of which one bid says how long their tasks took; the rest follows with the next. */
  typesTookMax: 50,
  /** Characters of the name of a schedule; the id of a firing's task is made from it. */
  scheduleNameCharsMax: 100,
  /** Keys of unique submissions remembered, newest kept. */
  uniqueKeysMax: 100_000,
  /** Schedules of a namespace. */
  schedulesMax: 10_000,
  /** Bytes of the input of a schedule, which every firing copies. */
  scheduleInputBytesMax: 16 * 1024,
  /** Missed firings of a schedule that are made up for, the latest ones. */
  firingsMissedMax: 100,
  /** Tasks of one schedule that wait for each other; firings beyond are left out. */
  firingsQueuedMax: 100,
  /** Characters of an error message kept in the log. */
  errorMessageCharsMax: 4_096,
  /** Characters of an error stack kept in the log. */
  errorStackCharsMax: 4_096,
  /** Objects to which the log of a partition refers that its ledger remembers, newest kept. */
  objectsReferredMax: 1_000_000,
  /** Set-aside messages remembered by the ledger, newest kept. */
  setAsideMax: 1_000,
  /** Rows in one answer of a listing. */
  rowsMax: 1_000,
  /** Longest delay, timer or deadline, in milliseconds: ten years. */
  delayMsMax: 10 * 365 * 24 * 3_600_000,
  /** Deaths of a task's nodes in a row, without a new snapshot between them, that make it a dead letter. */
  deathsInARowMax: 10,
  /** Attempts of one task. */
  attemptsMax: 1_000_000,
} as const
