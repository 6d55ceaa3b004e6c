import { Hono } from 'hono';
import { bearerAuth } from 'hono/bearer-auth';
import { etag } from 'hono/etag';
const app = new Hono();
app.use(bearerAuth({ token: 'token' }));
app.get('/two', etag(), c => c.text('2')); // the tag is the SHA-1 of "2"
app.get('/users/:id', async c => {
  const refused = await app.request('/two', { headers: { authorization: 'Bearer wrong' } });
  const two = await app.request('/two', { headers: { authorization: 'Bearer token' } });
  return c.json({ id: c.req.param('id'), refused: refused.status, etag: two.headers.get('etag') });
});
export default app;
