const { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-base');
const { trace, context, propagation, ROOT_CONTEXT, defaultTextMapSetter, defaultTextMapGetter } = require('@opentelemetry/api');
const { W3CTraceContextPropagator } = require('@opentelemetry/core');
module.exports = async () => {
  const exporter = new InMemorySpanExporter();
  const tracer = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).getTracer('t');
  const parent = tracer.startSpan('parent');
  tracer.startSpan('child', {}, trace.setSpan(ROOT_CONTEXT, parent)).end();
  parent.end();
  const [child, top] = exporter.getFinishedSpans();
  const p = new W3CTraceContextPropagator(), carrier = {};
  p.inject(p.extract(ROOT_CONTEXT, { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' }, defaultTextMapGetter), carrier, defaultTextMapSetter);
  return { names: [child.name, top.name], linked: child.parentSpanContext.spanId === top.spanContext().spanId, header: carrier.traceparent };
};
