// config: the limits of container images, as part of LIMITS.

export const IMAGE_LIMITS = {
  /** Pulls and builds of images at once; each has a thread of its own. Further ones wait. */
  imageJobsMax: 2,
  /** All blobs of one image together, as they are transferred. */
  imageBytesMax: 16 * 1024 ** 3,
  /** Files of one image when they are unpacked, those that a later layer replaces included. */
  imageUnpackedBytesMax: 32 * 1024 ** 3,
  /** Entries of all layers of one image together. */
  imageEntriesMax: 1_000_000,
  imageLayersMax: 128,
  /** An index, manifest or config. */
  imageDocumentBytesMax: 4 * 1024 ** 2,
  /** An extended header of tar: a long name, or attributes; also those for all entries of an archive together. */
  imageHeaderBytesMax: 1024 ** 2,
  /** Parts of one sparse file. */
  imageSegmentsMax: 65_536,
  /** A path in an image. The host adds a directory, and Linux takes 4096. */
  imagePathBytesMax: 3_072,
  /** Labels, exposed ports and volumes that a config may have. */
  imageLabelsBytesMax: 256 * 1024,
  imagePortsMax: 256,
  imageVolumesMax: 256,
  /** What a guest can write to its root disk beside the files of the image. */
  imageFreeBytes: 8 * 1024 ** 3,
  /** A pull with its build. */
  imageTimeoutMs: 3 * 3_600_000,
  /** A request for a pull is answered after this time. The pull continues, and a repeated request joins it. */
  imageAnswerMs: 240_000,
  /** Names of images whose digest is remembered. */
  imageNamesMax: 4_096,
  /** Times that a program tries a registry again. It honours Retry-After. */
  imageTriesMax: 3,
  /** How often the progress of a pull is read. */
  imageProgressMs: 500,
} as const;
