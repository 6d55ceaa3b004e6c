import { fileTypeFromBuffer } from 'file-type';
const starts = [ // the third is an empty archive
  '89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000049454e44ae426082', '255044462d312e370a', '504b0506000000000000', '68656c6c6f'];
export default async () => Response.json(await Promise.all(starts.map(async s => (await fileTypeFromBuffer(Buffer.from(s.padEnd(200, '0'), 'hex')))?.mime ?? null)));
