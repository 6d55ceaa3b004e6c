export default {
  async fetch(request, env, ctx) {
    ctx.waitUntil(Promise.resolve());
    const text = await request.text();
    return text === '' ? new Response('text') : new Response(text, { headers: { a: env.a } });
  },
};
