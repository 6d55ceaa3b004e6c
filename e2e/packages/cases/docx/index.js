const { Document, Packer, Paragraph, TextRun, HeadingLevel } = require('docx');
const JSZip = require('jszip');
module.exports = async () => {
  const doc = new Document({ sections: [{ children: [new Paragraph({ text: 'Title', heading: HeadingLevel.HEADING_1 }), new Paragraph({ children: [new TextRun({ text: 'bold', bold: true })] })] }] });
  const xml = await (await JSZip.loadAsync(await Packer.toBuffer(doc))).file('word/document.xml').async('string');
  return [/<w:pStyle w:val="Heading1"\/>.*?<w:t[^>]*>(\w+)</.exec(xml)[1], /<w:b\/>.*?<w:t[^>]*>(\w+)</.exec(xml)[1]];
};
