const ts = require('typescript');
module.exports = async () => {
  const js = ts.transpileModule('class A { constructor(private x: number) {} }', { compilerOptions: { target: ts.ScriptTarget.ES2022 } }).outputText;
  const host = ts.createCompilerHost({});
  const { getSourceFile } = host;
  host.getSourceFile = (name, v) => (name === 'a.ts' ? ts.createSourceFile(name, 'const n: number = "x";', v) : getSourceFile(name, v));
  const errors = ts.createProgram(['a.ts'], { noEmit: true, types: [] }, host).getSemanticDiagnostics();
  return { js, errors: errors.map(e => `TS${e.code}: ${e.messageText}`) };
};
