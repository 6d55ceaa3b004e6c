import { createHash } from 'node:crypto';

export default async (request) => Response.json({ url: request.url, hash: createHash('sha256').digest('hex') });
