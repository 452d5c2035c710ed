package cascade.tests;

import java.io.IOException;
import java.io.StringReader;
import java.text.ParseException;
import java.util.List;
import java.util.function.Function;

import org.apache.lucene.analysis.Analyzer;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.synonym.SolrSynonymParser;
import org.apache.lucene.analysis.synonym.SynonymFilter;
import org.apache.lucene.analysis.synonym.SynonymGraphFilter;
import org.apache.lucene.analysis.synonym.SynonymMap;
import org.apache.lucene.util.CharsRef;
import org.apache.lucene.util.CharsRefBuilder;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.index.IndexService.IndexCreationContext;
import org.elasticsearch.index.analysis.CharFilterFactory;
import org.elasticsearch.index.analysis.CustomAnalyzer;
import org.elasticsearch.index.analysis.TokenFilterFactory;
import org.elasticsearch.index.analysis.TokenizerFactory;

/**
 * The filters {@code synonym} and {@code synonym_graph} with rules given in line.
 *
 * <p>A rule is analysed by the part of the chain that stands before the filter, so that a rule meets
 * the tokens that reach it.
 */
final class SynonymFilterFactory implements TokenFilterFactory {
    private final String name;
    private final List<String> rules;
    private final boolean expand;
    private final boolean lenient;
    private final boolean graph;

    SynonymFilterFactory(String name, Settings settings, boolean graph) {
        this.name = name;
        if (settings.get("synonyms_path") != null || settings.get("synonyms_set") != null) {
            throw new IllegalArgumentException(
                "the test distribution reads [synonyms] in line only, in filter [" + name + "]");
        }
        if (!settings.hasValue("synonyms")) {
            throw new IllegalArgumentException(
                "synonym requires either `synonyms`, `synonyms_set` or `synonyms_path`"
                    + " to be configured");
        }
        rules = settings.getAsList("synonyms");
        expand = settings.getAsBoolean("expand", true);
        lenient = settings.getAsBoolean("lenient", false);
        this.graph = graph;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public TokenStream create(TokenStream stream) {
        throw new IllegalStateException("a synonym filter is created with its chain");
    }

    @Override
    public TokenFilterFactory getChainAwareTokenFilterFactory(
            IndexCreationContext context,
            TokenizerFactory tokenizer,
            List<CharFilterFactory> charFilters,
            List<TokenFilterFactory> preceding,
            Function<String, TokenFilterFactory> allFilters) {
        TokenFilterFactory[] chain = preceding.stream()
            .map(TokenFilterFactory::getSynonymFilter)
            .toArray(TokenFilterFactory[]::new);
        SynonymMap synonyms = parse(new CustomAnalyzer(
            tokenizer, charFilters.toArray(CharFilterFactory[]::new), chain));
        return new InChain(name, synonyms, graph);
    }

    private SynonymMap parse(Analyzer analyzer) {
        Parser parser = new Parser(expand, lenient, analyzer);
        try {
            parser.parse(new StringReader(String.join("\n", rules)));
            return parser.build();
        } catch (IOException | ParseException e) {
            throw new IllegalArgumentException("failed to build synonyms", e);
        }
    }

    private static final class Parser extends SolrSynonymParser {
        private final boolean lenient;

        Parser(boolean expand, boolean lenient, Analyzer analyzer) {
            super(true, expand, analyzer);
            this.lenient = lenient;
        }

        @Override
        public CharsRef analyze(String text, CharsRefBuilder reuse) throws IOException {
            try {
                return super.analyze(text, reuse);
            } catch (IllegalArgumentException e) {
                if (lenient) {
                    return new CharsRef();
                }
                throw e;
            }
        }

        @Override
        public void add(CharsRef input, CharsRef output, boolean includeOriginal) {
            if (!lenient || (input.length > 0 && output.length > 0)) {
                super.add(input, output, includeOriginal);
            }
        }
    }

    private record InChain(String name, SynonymMap synonyms, boolean graph)
            implements TokenFilterFactory {
        @Override
        @SuppressWarnings("deprecation") // what the server's own `synonym` filter is made of
        public TokenStream create(TokenStream stream) {
            if (synonyms.fst == null) {
                return stream;
            }
            return graph
                ? new SynonymGraphFilter(stream, synonyms, false)
                : new SynonymFilter(stream, synonyms, false);
        }

        @Override
        public TokenFilterFactory getSynonymFilter() {
            return IDENTITY_FILTER;
        }
    }
}
