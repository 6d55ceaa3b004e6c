import pLimit from 'p-limit';
export default async () => {
  const limit = pLimit(2);
  let now = 0, most = 0;
  const out = await Promise.all([1, 2, 3, 4, 5].map(n => limit(async () => {
    most = Math.max(most, ++now);
    await new Promise(r => setTimeout(r, 3));
    now--;
    return n;
  })));
  return Response.json({ most, out });
};
